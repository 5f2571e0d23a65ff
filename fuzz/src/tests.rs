//! Runs every target over mutations of valid inputs, the same in every run.

use compcache_device::ParamsUpdate;
use compcache_random::Random;
use compcached::protocol::{MountSettings, MountSpec, encode};
use compcached::size::Size;
use compcached::types::MountStatus;

use super::*;

/// Changes an input as libFuzzer would: bits, bytes, extreme values, cuts, copies, insertions,
/// another seed's part; one to four times.
fn mutate(rng: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    for _ in 0..1 + rng.index(4) {
        let at = rng.index(input.len());
        let len = rng.index(input.len() - at).min(1 << rng.index(12));
        match rng.index(8) {
            0 if !input.is_empty() => input[at] ^= 1 << rng.index(8),
            1 if !input.is_empty() => input[at] = rng.next_u64() as u8,
            2 if !input.is_empty() => input[at] = [0, 1, 0x7F, 0x80, 0xFF][rng.index(5)],
            3 => input.truncate(at),
            4 => drop(input.drain(at..at + len)),
            5 => {
                let to = rng.index(input.len() - len);
                input.copy_within(at..at + len, to);
            }
            6 => {
                let byte = if rng.index(2) == 0 {
                    0xFF
                } else {
                    rng.next_u64() as u8
                };
                let many = rng.index(300);
                input.splice(at..at, std::iter::repeat_n(byte, many));
            }
            _ => {
                let other = &seeds[rng.index(seeds.len())];
                let from = rng.index(other.len());
                let to = from + rng.index(other.len() - from);
                input.splice(at..at + len, other[from..to].iter().copied());
            }
        }
    }
}

fn run(target: fn(&[u8]), seeds: &[Vec<u8>], rounds: usize) {
    let mut rng = Random::new(2006);
    for seed in seeds {
        target(seed);
    }
    for _ in 0..rounds {
        let mut input = seeds[rng.index(seeds.len())].clone();
        mutate(&mut rng, &mut input, seeds);
        target(&input);
    }
}

/// Pages of growing disorder: constants, counters, records, text, noise.
fn pages() -> Vec<Page> {
    let mut rng = Random::new(1999);
    let text = b"the page is kept in memory, compressed, and the page comes back when it is due; ";
    let mut pages = vec![OTHER_PAGE, [0; PAGE_SIZE], [0x20; PAGE_SIZE]];
    for disorder in 0..12 {
        let mut page = [0; PAGE_SIZE];
        for (i, byte) in page.iter_mut().enumerate() {
            *byte = match disorder {
                0 => (i / 4 >> (8 * (i % 4))) as u8,
                1..=4 => text[(i + i / 97 * disorder) % text.len()],
                5..=8 if i % 8 > 2 => 0x7F ^ (i % 8) as u8,
                _ if rng.index(12) < disorder => rng.next_u64() as u8,
                _ => 0,
            };
        }
        pages.push(page);
    }
    pages
}

fn chunks(id: CodecId) -> Vec<Vec<u8>> {
    let spec = CodecSpec::new(id).unwrap();
    let mut scratch = Builtin::scratch().unwrap();
    let compress = |page: &Page| {
        let mut out = vec![0; 2 * PAGE_SIZE];
        let len = Builtin::compress(spec, page, &mut scratch, &mut out)?;
        out.truncate(len);
        Some(out)
    };
    pages().iter().filter_map(compress).collect()
}

/// Inputs for each decoder: together, over 10⁵.
const CHUNKS: usize = 40_000;

#[test]
fn lz4_decodes_or_refuses_damaged_chunks() {
    run(decode_lz4, &chunks(CodecId::Lz4), CHUNKS);
}

#[test]
fn lzo_decodes_or_refuses_damaged_chunks() {
    run(decode_lzo, &chunks(CodecId::Lzo), CHUNKS);
}

#[test]
fn wkdm_decodes_or_refuses_damaged_chunks() {
    run(decode_wkdm, &chunks(CodecId::Wkdm), CHUNKS);
}

#[test]
fn wks_decodes_or_refuses_damaged_chunks() {
    run(decode_wks, &chunks(CodecId::Wks), CHUNKS);
}

#[test]
fn zstd_decodes_or_refuses_damaged_chunks() {
    run(decode_zstd, &chunks(CodecId::Zstd), CHUNKS);
}

#[test]
fn every_codec_gives_back_mutated_pages() {
    let seeds: Vec<_> = pages()
        .iter()
        .map(|page| [&[15], &page[..]].concat())
        .collect();
    run(roundtrip, &seeds, 3_000);
}

#[test]
fn swap_headers_are_understood_or_refused() {
    let seed = |last: u32, pages: u16| {
        let page = SwapHeader::new(last, [7; 16], "label").to_page();
        [&pages.to_le_bytes(), &page[..]].concat()
    };
    let mut seeds = vec![seed(1, 2), seed(99, 100), seed(100, 100), seed(u32::MAX, 9)];
    let mut hibernated = seed(9, 10);
    hibernated.truncate(2 + PAGE_SIZE - 10);
    hibernated.extend(b"S1SUSPEND\0");
    seeds.push(hibernated);
    run(swap_header, &seeds, CHUNKS);
}

#[test]
fn control_messages_are_understood_or_refused() {
    let params = ParamsUpdate {
        disksize: Some(1 << 30),
        ..ParamsUpdate::default()
    };
    let requests = [
        Request::Status { device: None },
        Request::Configure {
            device: 3,
            params: params.clone(),
            init: true,
        },
        Request::Set {
            device: 0,
            params: ParamsUpdate {
                codec: Some("zstd:3".into()),
                recompress: Some("off".into()),
                recompress_after: Some(60),
                recompress_cpu: Some(5),
                ..ParamsUpdate::default()
            },
        },
        Request::SwapOn {
            device: Some(1),
            params,
            priority: Some(100),
        },
        Request::Mount {
            spec: MountSpec {
                source: Some("/mnt/nas".into()),
                mountpoint: "/mnt/fast".into(),
                settings: MountSettings {
                    cache: Some(Size::Percent(25)),
                    dirty_limit: Some(Size::Bytes(1 << 20)),
                    give_up_after: Some(60),
                    codec: Some("zstd:1".into()),
                    write_back: Some(true),
                    flags: Some(vec!["ro".into()]),
                    ..MountSettings::default()
                },
            },
        },
        Request::Unmount {
            mountpoint: "/mnt/fast".into(),
            lazy: true,
        },
        Request::Mounts,
        Request::Shutdown { force: false },
    ];
    let responses = [
        Response::Done {
            warnings: vec!["larger than twice the memory".into()],
        },
        Response::Mounts {
            mounts: vec![MountStatus::default()],
            memory_limit: Some(1 << 30),
        },
        Response::SwappedOn {
            device: 0,
            node: "/dev/ramzswap0".into(),
            priority: 5,
            warnings: vec![],
        },
    ];
    let mut seeds: Vec<_> = requests.iter().map(|r| encode(r).unwrap()).collect();
    seeds.extend(responses.iter().map(|r| encode(r).unwrap()));
    run(control_protocol, &seeds, CHUNKS);
    // Damage in the document only, with a header that stays true to it.
    let documents: Vec<_> = seeds.iter().map(|frame| frame[12..].to_vec()).collect();
    let mut rng = Random::new(2008);
    for _ in 0..CHUNKS {
        let which = rng.index(seeds.len());
        let mut document = documents[which].clone();
        mutate(&mut rng, &mut document, &documents);
        let length = (document.len() as u32).to_le_bytes();
        control_protocol(&[&seeds[which][..8], &length, &document].concat());
    }
}

#[test]
fn kernel_types_are_read_or_refused() {
    // int; struct f { int f; }; f *; void (f *f, int g); the function f.
    let types: &[u32] = &[
        1,
        1 << 24,
        4,
        32, //
        1,
        4 << 24 | 1,
        4,
        1,
        1,
        0, //
        0,
        2 << 24,
        2, //
        0,
        13 << 24 | 2,
        0,
        1,
        3,
        3,
        1, //
        1,
        12 << 24,
        4, //
    ];
    let names = b"\0f\0g\0";
    let bytes = 4 * types.len() as u32;
    let mut seed = vec![0x9F, 0xEB, 1, 0];
    let header = [24, 0, bytes, bytes, names.len() as u32];
    let words = header
        .iter()
        .chain(types)
        .flat_map(|word| word.to_le_bytes());
    seed.extend(words);
    seed.extend(names);
    assert!(Btf::parse(&seed).unwrap().function("f").is_some());
    run(btf, &[seed], CHUNKS);
}

#[test]
fn requests_of_the_kernel_are_answered_or_refused() {
    use super::fuse::{FALLOCATE, READ, WRITE, request};
    let page = PAGE_SIZE as u64;
    let two = [pages()[4], pages()[9]].concat();
    let all: Vec<Vec<u8>> = vec![
        request(WRITE, 2, 3 * page, 2 * page, &two),
        request(READ, 3, 2 * page, 4 * page, &[]),
        request(FALLOCATE, 4, 4 * page, page, &[]),
        request(READ, 5, 3 * page, 2 * page, &[]),
        request(WRITE, 6, 63 * page, page, &two[..PAGE_SIZE]),
        // GETATTR, INIT, LOOKUP, FORGET.
        request(3, 7, 0, 0, &[]),
        request(26, 8, 7 | 38 << 32, 1 << 20, &[]),
        request(1, 9, 0, 0, b"name\0"),
        request(2, 10, 0, 0, &[]),
    ];
    let framed = |request: &Vec<u8>| [&(request.len() as u16).to_le_bytes(), &request[..]].concat();
    let mut seeds: Vec<Vec<u8>> = all.iter().map(framed).collect();
    seeds.push(seeds[..5].concat());
    seeds.push(seeds.concat());
    run(fuse_requests, &seeds, 20_000);
}

#[test]
fn tables_of_the_kernel_are_read_or_passed_over() {
    let seeds: Vec<Vec<u8>> = [
        &b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
           40 36 0:9 / /a\\040b\\134\\011 rw shared:3 master:2 - fuse.compcache /s rw,user_id=0,group_id=0\n\
           41 36 0:10 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
           42 36 0:11 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"[..],
        b"Filename\t\tType\tSize\tUsed\tPriority\n/dev/ramzswap0\\040(deleted) partition 4 0 -2\n",
        b"0::/user.slice/a b\n4:memory:/x/../y\n3:cpu,cpuacct:/\n",
        b"42 (a ) (b) R 1 42 42 0 -1 4194560 100 0 0 0 1 2 3\n",
        b"Name:\tx\nVmRSS:\t  12 kB\nVmSwap:\t 18446744073709551616 kB\n",
    ]
    .iter()
    .map(|text| text.to_vec())
    .collect();
    run(kernel_tables, &seeds, CHUNKS);
}

#[test]
fn settings_read_back_or_are_refused() {
    let seeds = [
        "1G",
        "25%",
        "4096",
        " 64 MiB",
        "16t",
        "4294967296%",
        "+1k",
        "-1",
        "zstd:3",
        "zstd:-5",
        "wks:fast",
        "wks:balanced",
        "lz4",
        "off",
        "auto",
        "clusters",
        "kernel",
        "user",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    run(settings, &seeds, CHUNKS);
}
