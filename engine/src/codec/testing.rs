//! Pages to try codecs on, and the checks that every codec must pass.

#[cfg(not(feature = "std"))]
extern crate std;

use std::boxed::Box;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::string::String;
use std::vec;
use std::vec::Vec;

use compcache_random::Random;
use proptest::prelude::*;

use super::{Builtin, CodecSpec, Codecs, Scratch};
use crate::page::{PAGE_SIZE, Page};

/// A page and the words that tell which one it is when a test fails.
pub(crate) type NamedPage = (String, Box<Page>);

/// A page of 32-bit words.
fn words(mut word: impl FnMut(usize) -> u32) -> Box<Page> {
    let mut page = Box::new([0; PAGE_SIZE]);
    for (i, bytes) in page.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *bytes = word(i).to_le_bytes();
    }
    page
}

/// A page of 64-bit words.
fn wide_words(mut word: impl FnMut(usize) -> u64) -> Box<Page> {
    let mut page = Box::new([0; PAGE_SIZE]);
    for (i, bytes) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *bytes = word(i).to_le_bytes();
    }
    page
}

/// A page of bytes.
fn bytes(mut byte: impl FnMut(usize) -> u8) -> Box<Page> {
    let mut page = Box::new([0; PAGE_SIZE]);
    for (i, b) in page.iter_mut().enumerate() {
        *b = byte(i);
    }
    page
}

fn text(rng: &mut Random) -> Box<Page> {
    const WORDS: [&str; 16] = [
        "memory",
        "page",
        "the",
        "of",
        "a",
        "compressed",
        "swap",
        "is",
        "kept",
        "in",
        "and",
        "to",
        "device",
        "chunk",
        "which",
        "slot",
    ];
    let mut text = Vec::with_capacity(PAGE_SIZE + 16);
    while text.len() < PAGE_SIZE {
        text.extend_from_slice(WORDS[rng.index(WORDS.len())].as_bytes());
        text.push(if rng.index(12) == 0 { b'\n' } else { b' ' });
    }
    bytes(|i| text[i])
}

/// Structures of 24 to 72 bytes: a pointer, a counter, flags, a float, a short name.
fn records(rng: &mut Random) -> Box<Page> {
    let size = 24 + 8 * rng.index(7);
    let heap = 0x7f00_0000_0000 | (rng.next_u64() & 0xff_ffff_f000);
    let mut all = Vec::with_capacity(PAGE_SIZE + size);
    let mut n = rng.next_u64() as u32;
    while all.len() < PAGE_SIZE {
        let start = all.len();
        all.extend_from_slice(&(heap + (rng.next_u64() & 0xfff0)).to_le_bytes());
        n = n.wrapping_add(1);
        all.extend_from_slice(&n.to_le_bytes());
        all.extend_from_slice(&(rng.index(4) as u32).to_le_bytes());
        all.extend_from_slice(&(rng.index(1000) as f64 / 8.0).to_le_bytes());
        while all.len() < start + size {
            all.push(b'a' + rng.index(6) as u8);
        }
    }
    bytes(|i| all[i])
}

fn sparse(rng: &mut Random, filled: usize) -> Box<Page> {
    let mut page = Box::new([0; PAGE_SIZE]);
    for _ in 0..filled {
        page[rng.index(PAGE_SIZE)] = rng.next_u64() as u8;
    }
    page
}

/// Made pages: constant, structured, random and meant to hurt, the same in every run.
pub(crate) fn made_pages() -> Vec<NamedPage> {
    let mut pages: Vec<NamedPage> = vec![];
    let mut add = |name: &str, page| pages.push((name.into(), page));
    add("zeros", bytes(|_| 0));
    add("ones", bytes(|_| 0xff));
    add("one word", words(|_| 0x1234_5678));
    add("byte counter", bytes(|i| i as u8));
    add("counter", words(|i| i as u32));
    add("wide counter", wide_words(|i| 0x1_0000_0000 + i as u64));
    add("steps of 1024", words(|i| (i as u32) << 10));
    add("steps of 1023", words(|i| (i as u32 + 1) * 1023));
    add("descending", words(|i| u32::MAX - 3 * i as u32));
    add("last byte", bytes(|i| u8::from(i == PAGE_SIZE - 1)));
    add("first byte", bytes(|i| u8::from(i == 0)));
    add("floats", wide_words(|i| (i as f64 * 0.37).sin().to_bits()));
    for period in [
        2, 3, 5, 7, 11, 12, 24, 63, 64, 65, 255, 257, 1023, 2048, 4095,
    ] {
        let mut rng = Random::new(period);
        let pattern: Vec<u8> = (0..period).map(|_| rng.next_u64() as u8).collect();
        let name = std::format!("random bytes with period {period}");
        add(&name, bytes(|i| pattern[i % pattern.len()]));
    }
    for seed in 0..8 {
        let mut rng = Random::new(seed);
        let r = &mut rng;
        let mut add = |name: &str, page| add(&std::format!("{name}, seed {seed}"), page);
        add("random", words(|_| r.next_u64() as u32));
        add("two letters", bytes(|_| b'a' + r.index(2) as u8));
        add("sixteen values", bytes(|_| r.index(16) as u8 * 17));
        add("hex digits", bytes(|_| b"0123456789abcdef"[r.index(16)]));
        add("text", text(r));
        add("records", records(r));
        let base = 0x5555_0000_0000 | (r.next_u64() & 0xffff_f000);
        add("pointers", wide_words(|_| base + (r.next_u64() & 0x3_fff8)));
        add(
            "pointers and nulls",
            wide_words(|_| (base + (r.next_u64() & 0xff8)) * (r.next_u64() & 1)),
        );
        add("sparse", sparse(r, 1 << seed));
        add(
            "sparser words",
            words(|_| {
                if r.index(9) == 0 {
                    r.next_u64() as u32
                } else {
                    0
                }
            }),
        );
        let cut = r.index(PAGE_SIZE);
        add(
            "random, then zeros",
            bytes(|i| if i < cut { r.next_u64() as u8 } else { 0 }),
        );
        add(
            "zeros, then random",
            bytes(|i| if i < cut { 0 } else { r.next_u64() as u8 }),
        );
        add(
            "equal above 10 bits",
            words(|_| 0xCAFE_F000 | r.index(1024) as u32),
        );
        add("small numbers", words(|_| r.index(200) as u32));
        // Every fourth word repeats one from up to 4092 bytes before; the others are random.
        let mut seen: Vec<u32> = vec![];
        add(
            "far repeats",
            words(|i| {
                let w = if i % 4 == 3 {
                    seen[r.index(i)]
                } else {
                    r.next_u64() as u32
                };
                seen.push(w);
                w
            }),
        );
        let mut runs = vec![];
        while runs.len() < PAGE_SIZE {
            let longest = 1 << r.index(10);
            runs.resize(runs.len() + 1 + r.index(longest), r.next_u64() as u8);
        }
        add("runs", bytes(|i| runs[i]));
    }
    pages
}

/// Pages of this program: its file, and the memory it has written, if the system shows it.
pub(crate) fn real_pages() -> Vec<NamedPage> {
    let mut pages = vec![];
    if let Ok(file) = File::open("/proc/self/exe") {
        read_pages(file, 0, u64::MAX, 37, "program", &mut pages);
    }
    let keep: Vec<String> = (0..20_000)
        .map(|i| std::format!("{i} {:x}", i * i))
        .collect();
    let maps = File::open("/proc/self/maps").map(BufReader::new);
    for line in maps
        .into_iter()
        .flat_map(|f| f.split(b'\n').map_while(Result::ok))
    {
        // Names of files in it need not be UTF-8.
        let line = String::from_utf8_lossy(&line);
        // 55d0-55f1 rw-p 00000000 00:00 0  [heap]
        let mut fields = line.split_whitespace();
        let (Some(range), Some("rw-p")) = (fields.next(), fields.next()) else {
            continue;
        };
        let Some((from, to)) = range.split_once('-') else {
            continue;
        };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        else {
            continue;
        };
        if let Ok(mem) = File::open("/proc/self/mem") {
            let name = fields.nth(3).unwrap_or("anonymous");
            read_pages(mem, from, to, 5, name, &mut pages);
        }
    }
    drop(keep);
    pages
}

/// Reads every `step`-th page of a range of a file, at most 200 of them.
fn read_pages(
    mut file: File,
    from: u64,
    to: u64,
    step: u64,
    name: &str,
    pages: &mut Vec<NamedPage>,
) {
    let mut at = from;
    for _ in 0..200 {
        let mut page = Box::new([0; PAGE_SIZE]);
        if at >= to
            || file.seek(SeekFrom::Start(at)).is_err()
            || file.read_exact(&mut *page).is_err()
        {
            return;
        }
        pages.push((std::format!("{name} at {at:#x}"), page));
        at += step * PAGE_SIZE as u64;
    }
}

/// Any page: noise, a made page, or a made page that was changed here and there.
pub(crate) fn any_page() -> impl Strategy<Value = Box<Page>> {
    let made = made_pages();
    let changes = proptest::collection::vec((0..PAGE_SIZE, any::<u8>()), 0..64);
    let changed = (0..made.len(), changes).prop_map(move |(which, changes)| {
        let mut page = made[which].1.clone();
        for (at, byte) in changes {
            page[at] = byte;
        }
        page
    });
    let small = (any::<u64>(), 1..=256_usize).prop_map(|(seed, values)| {
        let mut rng = Random::new(seed);
        bytes(|_| rng.index(values) as u8)
    });
    prop_oneof![2 => changed, 1 => small]
}

/// Compresses a page into a chunk of at most a page; `None` if it does not fit.
pub(crate) fn chunk_of(spec: CodecSpec, page: &Page, scratch: &mut Scratch) -> Option<Vec<u8>> {
    let mut out = vec![0xEE; PAGE_SIZE];
    let len = Builtin::compress(spec, page, scratch, &mut out)?;
    out.truncate(len);
    Some(out)
}

/// Panics unless the page comes back from its chunk, the chunk fits a buffer of just its
/// length, and no smaller one. Gives the chunk's length, `None` for a page that does not fit.
pub(crate) fn check_round_trip(
    spec: CodecSpec,
    name: &str,
    page: &Page,
    scratch: &mut Scratch,
) -> Option<usize> {
    let chunk = chunk_of(spec, page, scratch)?;
    let mut back = [0xDD; PAGE_SIZE];
    assert_eq!(
        Builtin::decompress(spec.id(), &chunk, scratch, &mut back),
        Ok(()),
        "{name}"
    );
    assert!(back == *page, "{name}: another page came back");
    let mut tight = vec![0; chunk.len()];
    if let Some(len) = Builtin::compress(spec, page, scratch, &mut tight) {
        assert_eq!(
            Builtin::decompress(spec.id(), &tight[..len], scratch, &mut back),
            Ok(()),
            "{name}"
        );
        assert!(
            back == *page,
            "{name}: another page came back from a tight buffer"
        );
    }
    for small in [0, 1, chunk.len() / 2] {
        let fit = Builtin::compress(spec, page, scratch, &mut tight[..small]);
        assert!(
            fit.is_none_or(|len| len <= small),
            "{name}: {fit:?} bytes in {small}"
        );
    }
    Some(chunk.len())
}

/// [`check_round_trip`] on all made and real pages.
pub(crate) fn check_round_trips(spec: CodecSpec) {
    let mut scratch = Builtin::scratch().unwrap();
    for (name, page) in made_pages().iter().chain(&real_pages()) {
        check_round_trip(spec, name, page, &mut scratch);
    }
}

/// Gives the decoder every truncation, every single flipped bit and some longer damage of the
/// chunks of some made pages. Truncated and lengthened chunks must be refused; the others may
/// decode, but must neither panic nor leave the page.
pub(crate) fn check_damage(spec: CodecSpec) {
    let mut scratch = Builtin::scratch().unwrap();
    let mut back = [0; PAGE_SIZE];
    let mut rng = Random::new(7);
    let wanted = [
        "counter",
        "text, seed 1",
        "records, seed 2",
        "sparse, seed 5",
        "runs, seed 3",
    ];
    for (name, page) in made_pages()
        .iter()
        .filter(|(name, _)| wanted.contains(&&**name))
    {
        let Some(chunk) = chunk_of(spec, page, &mut scratch) else {
            continue;
        };
        for len in 0..chunk.len() {
            let cut = Builtin::decompress(spec.id(), &chunk[..len], &mut scratch, &mut back);
            assert!(
                cut.is_err(),
                "{name}: decoded {len} of {} bytes",
                chunk.len()
            );
        }
        for extra in [1, 2, 7, 64] {
            let long = [&chunk[..], &vec![0; extra]].concat();
            assert!(
                Builtin::decompress(spec.id(), &long, &mut scratch, &mut back).is_err(),
                "{name}: +{extra}"
            );
        }
        let mut damaged = chunk.clone();
        for bit in 0..chunk.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = Builtin::decompress(spec.id(), &damaged, &mut scratch, &mut back);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        for _ in 0..2000 {
            let mut damaged = chunk.clone();
            for _ in 0..1 + rng.index(16) {
                let at = rng.index(damaged.len());
                damaged[at] = rng.next_u64() as u8;
            }
            let _ = Builtin::decompress(spec.id(), &damaged, &mut scratch, &mut back);
        }
        // The context is as good as new afterwards.
        check_round_trip(spec, name, page, &mut scratch);
    }
}
