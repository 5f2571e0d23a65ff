//! Which pages are kept, and how many: shown by counters.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use compcache_files::MountStatus;
use compcache_tests::content::{Kind, Page};
use compcache_tests::{Cgroup, MIB, Mode, MountBed, PAGE, Random, drop_page_cache, wait_until};
use rustix::fs::Advice;

/// Limit of the cache.
const CACHE: u64 = 4 * MIB;

/// Makes a file in SOURCE whose pages compress to less than half.
fn make(bed: &MountBed, name: &str, pages: u64) {
    let mut page = Page::zeros();
    let mut bytes = Vec::new();
    for index in 0..pages {
        Kind::Structured.fill(&mut page, pages, index, 1);
        bytes.extend_from_slice(page.bytes());
    }
    fs::write(bed.source().join(name), bytes).expect("a file");
}

/// The file, with the kernel told not to read ahead.
fn open(bed: &MountBed, name: &str) -> File {
    let file = File::open(bed.point().join(name)).expect("a file");
    rustix::fs::fadvise(&file, 0, None, Advice::Random).expect("fadvise");
    file
}

/// Reads pages of which the kernel holds none, in random order.
fn read_hot(file: &File, pages: u64, random: &mut Random) {
    drop_page_cache(file);
    let mut page = Page::zeros();
    for _ in 0..pages {
        file.read_exact_at(page.bytes_mut(), random.below(pages) * PAGE)
            .expect("a page");
    }
}

/// Share of the reads since `before` that found their page, in percent.
fn hit_rate(before: &MountStatus, after: &MountStatus) -> u64 {
    let [hits, misses] = [
        (before.counts.hits, after.counts.hits),
        (before.counts.misses, after.counts.misses),
    ]
    .map(|(a, b)| b - a);
    assert!(hits + misses > 0, "nothing was asked for");
    100 * hits / (hits + misses)
}

/// What is read again and again stays, while a file of ten times the cache is read once.
#[test]
fn scan_does_not_push_out_what_is_hot() {
    let Some(bed) = MountBed::new() else { return };
    let hot_pages = CACHE / 2 / PAGE;
    let scan_pages = 20 * CACHE / PAGE;
    make(&bed, "hot", hot_pages);
    make(&bed, "scan", scan_pages);
    bed.mount(Mode::Through, &["--cache", "4M"]);
    let hot = open(&bed, "hot");
    let scan = File::open(bed.point().join("scan")).expect("a file");
    let mut random = Random::of(&[1]);
    for _ in 0..6 {
        read_hot(&hot, hot_pages, &mut random);
    }
    let before = bed.status();
    read_hot(&hot, hot_pages, &mut random);
    let alone = hit_rate(&before, &bed.status());
    assert!(
        alone >= 90,
        "{alone} % of a set that has room were found: {:?}",
        bed.status()
    );
    let mut block = vec![0; 64 << 10];
    let parts = 20;
    let mut rates = Vec::new();
    for part in 0..parts {
        let length = scan_pages * PAGE / parts;
        for at in (part * length..(part + 1) * length).step_by(block.len()) {
            scan.read_exact_at(&mut block, at).expect("a part");
        }
        drop_page_cache(&scan);
        let before = bed.status();
        read_hot(&hot, hot_pages, &mut random);
        rates.push(hit_rate(&before, &bed.status()));
    }
    let mean = rates.iter().sum::<u64>() / parts;
    assert!(
        mean * 100 >= alone * 90,
        "{mean} % instead of {alone} %: {rates:?}"
    );
    drop((hot, scan));
    bed.umount();
}

/// A program that goes through more than there is room for, again and again, finds a part of it.
#[test]
fn loop_larger_than_the_cache() {
    let Some(bed) = MountBed::new() else { return };
    let pages = 6 * CACHE / PAGE;
    make(&bed, "file", pages);
    bed.mount(Mode::Through, &["--cache", "4M"]);
    let file = open(&bed, "file");
    let mut page = Page::zeros();
    let mut rate = 0;
    for _ in 0..6 {
        let before = bed.status();
        for index in 0..pages {
            file.read_exact_at(page.bytes_mut(), index * PAGE)
                .expect("a page");
        }
        drop_page_cache(&file);
        rate = hit_rate(&before, &bed.status());
    }
    assert!(rate >= 10, "{rate} % were found: {:?}", bed.status());
    drop(file);
    bed.umount();
}

/// If the memory of the daemon's cgroup gets short, the cache gives some back, again and again.
#[test]
fn cache_shrinks_where_memory_is_short() {
    let group = Cgroup::new(512 * MIB);
    let Some(bed) = MountBed::in_group(&group) else {
        return;
    };
    let pages = 64 * MIB / PAGE;
    make(&bed, "file", pages);
    make(&bed, "other", 16);
    bed.mount(Mode::Through, &["--cache", "64M", "--codec", "lz4"]);
    let [file, other] = ["file", "other"].map(|name| open(&bed, name));
    let mut page = Page::zeros();
    for _ in 0..3 {
        for index in 0..pages {
            file.read_exact_at(page.bytes_mut(), index * PAGE)
                .expect("a page");
        }
        drop_page_cache(&file);
    }
    let full = bed.status();
    assert!(full.pool_bytes > 8 * MIB, "{full:?}");
    for step in 1..=4 {
        let wanted = full.pool_bytes - step * MIB;
        // Within what the daemon keeps free: a 32nd.
        group.set_limit(group.used() + MIB);
        wait_until("the cache to shrink", || {
            read_hot(&other, 16, &mut Random::of(&[step]));
            bed.status().pool_bytes <= wanted
        });
    }
    group.set_limit(512 * MIB);
    for index in (0..pages).rev() {
        file.read_exact_at(page.bytes_mut(), index * PAGE)
            .expect("a page");
    }
    assert_eq!(bed.status().counts.corrupt, 0);
    drop((file, other));
    bed.umount();
}
