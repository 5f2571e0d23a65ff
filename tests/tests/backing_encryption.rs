//! An encrypted backing swap: what lies on the disk says nothing, and what was changed there is found
//! out.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use compcache_device::ParamsUpdate;
use compcache_tests::content::{Kind, Page};
use compcache_tests::{
    Bed, Cgroup, Hog, LoopFile, MIB, PAGE, open_direct, stats, swap_file, wait_until,
};
use compcached::protocol::Request;
use compcached::types::BackingEncryption;

/// Of the backing swaps.
const SIZE: u64 = 4 * MIB;
const PAGES: u64 = SIZE / PAGE;

fn params(backing: &Path, encryption: Option<BackingEncryption>) -> ParamsUpdate {
    ParamsUpdate {
        backing_swap: Some(backing.to_owned()),
        backing_encryption: encryption,
        ..Default::default()
    }
}

fn read(disk: &File, place: u64) -> std::io::Result<Box<Page>> {
    let mut page = Page::zeros();
    disk.read_exact_at(page.bytes_mut(), place * PAGE)?;
    Ok(page)
}

fn write(disk: &File, place: u64, page: &Page) {
    disk.write_all_at(page.bytes(), place * PAGE).unwrap();
}

/// Writes a page of its own to each place but that of the header.
fn fill(bed: &Bed) {
    let disk = open_direct(&bed.node(0));
    (1..PAGES).for_each(|place| write(&disk, place, &Page::tagged(place)));
}

/// How many of these pages lie in a backing swap as they are: anything of them, at any place.
fn plain_pages(backing: &Path) -> usize {
    let file = open_direct(backing);
    let words: HashMap<u64, u64> = (1..PAGES)
        .flat_map(|place| Page::tagged(place).0.map(|word| (word, place)))
        .collect();
    let found = (1..PAGES).filter(|place| {
        let page = read(&file, *place).unwrap();
        page.0.iter().any(|word| words.contains_key(word))
    });
    found.count()
}

fn errors(bed: &Bed) -> (u64, u64) {
    let stats = stats(bed, 0);
    (stats.corrupt, stats.failed_reads)
}

fn reset(bed: &Bed) {
    bed.request(&Request::Reset { device: 0 });
}

/// No page reaches a file as it is, and no page a block device if the user says so. Without
/// encryption they all do.
#[test]
fn nothing_lies_on_the_disk_as_it_is() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let file = bed.directory().join("file");
    swap_file(&file, SIZE);
    let partition = LoopFile::swap(&bed.directory().join("partition"), SIZE);
    let (on, off) = (BackingEncryption::On, BackingEncryption::Off);
    for (backing, choice, encrypted) in [
        (&*file, None, true),
        (&*file, Some(BackingEncryption::Auto), true),
        (&*file, Some(off), false),
        (&*file, Some(on), true),
        (partition.device(), None, false),
        (partition.device(), Some(on), true),
        (partition.device(), Some(off), false),
    ] {
        let what = format!("{}, {choice:?}", backing.display());
        let before = read(&open_direct(backing), 0).unwrap();
        bed.init(params(backing, choice));
        let tables = stats(&bed, 0).table_bytes;
        fill(&bed);
        assert_eq!(stats(&bed, 0).backing_pages, PAGES - 1, "{what}");
        let plain = plain_pages(backing);
        let expected = if encrypted { 0 } else { PAGES as usize - 1 };
        assert_eq!(plain, expected, "{what}");
        let disk = open_direct(&bed.node(0));
        for place in 1..PAGES {
            assert!(
                *read(&disk, place).unwrap() == *Page::tagged(place),
                "{what}"
            );
        }
        drop(disk);
        assert_eq!(errors(&bed), (0, 0), "{what}");

        let cipher = bed.device(0).backing_encryption;
        let cipher = cipher.expect("with a backing swap it is said");
        let known = ["aes-256-gcm", "chacha20-poly1305"].contains(&&*cipher);
        assert_eq!((known, cipher == "off"), (encrypted, !encrypted), "{what}");
        // 24 bytes for each page that was written.
        let seals = stats(&bed, 0).table_bytes - tables;
        let most = (PAGES * 24).next_multiple_of(PAGE);
        assert!(seals == if encrypted { most } else { 0 }, "{what}: {seals}");
        let header = read(&open_direct(backing), 0).unwrap();
        assert!(*header == *before, "{what}: the header is left alone");
        reset(&bed);
    }
}

/// Programs work with it, in a file and on a block device.
#[test]
fn programs_find_their_pages() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let file = bed.directory().join("file");
    swap_file(&file, 160 * MIB);
    let partition = LoopFile::swap(&bed.directory().join("partition"), 160 * MIB);
    let swaps: [(PathBuf, _); 2] = [
        (file, None),
        (partition.device().to_owned(), Some(BackingEncryption::On)),
    ];
    for (backing, choice) in swaps {
        bed.swap_on(0, params(&backing, choice));
        assert_ne!(bed.device(0).backing_encryption.as_deref(), Some("off"));
        let group = Cgroup::new(24 * MIB);
        let mut hog = Hog::start(&group, Kind::Random, 64 * MIB, 21);
        hog.fill();
        hog.change();
        hog.change_at_random();
        hog.verify();
        let worked = stats(&bed, 0);
        assert!(worked.backing_reads > 40 * MIB / PAGE, "{worked:?}");
        assert_eq!((worked.failed_reads, worked.failed_writes), (0, 0));
        drop(hog);
        bed.request(&Request::SwapOff { device: None });
    }
}

/// What an attacker changes on the disk is an error of that page alone, counted and logged. What they
/// put back is read again.
#[test]
fn what_was_changed_moved_or_replayed_is_an_error_of_that_page() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let path = bed.directory().join("backing");
    swap_file(&path, SIZE);
    bed.init(params(&path, None));
    fill(&bed);
    let (disk, backing) = (open_direct(&bed.node(0)), open_direct(&path));
    let older = read(&backing, 40).unwrap();
    // The same content: without a fresh number the older version would be as good.
    write(&disk, 40, &Page::tagged(40));
    let sound: HashMap<u64, Box<Page>> = [10, 20, 30, 40, 50]
        .map(|place| (place, read(&backing, place).unwrap()))
        .into();
    assert!(*older != *sound[&40]);

    let mut changed = sound[&10].clone();
    changed.0[77] ^= 1 << 60;
    write(&backing, 10, &changed);
    write(&backing, 20, &sound[&30]);
    write(&backing, 30, &sound[&20]);
    write(&backing, 40, &older);
    write(&backing, 50, &Page::tagged(50));
    let mut failed = 0;
    for place in 1..PAGES {
        match read(&disk, place) {
            Ok(page) => assert!(*page == *Page::tagged(place) && !sound.contains_key(&place)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EIO));
                assert!(sound.contains_key(&place), "page {place}: {error}");
                failed += 1;
            }
        }
    }
    assert_eq!((failed, errors(&bed)), (5, (5, 5)));
    for (place, page) in &sound {
        write(&backing, *place, page);
        assert!(*read(&disk, *place).unwrap() == *Page::tagged(*place));
    }
    // A page that is written again is sound, whatever lay there.
    write(&backing, 10, &changed);
    write(&disk, 10, &Page::tagged(9999));
    assert!(*read(&disk, 10).unwrap() == *Page::tagged(9999));
    assert_eq!(errors(&bed), (5, 5));
    drop(disk);
    reset(&bed);
    let daemon = bed.daemon();
    wait_until("the errors in the log", || {
        daemon.stderr().contains("is corrupt")
    });
}

/// A program whose page was changed on the disk is ended when it needs it, and nobody else is.
#[test]
fn a_program_whose_page_was_changed_is_told() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let path = bed.directory().join("backing");
    swap_file(&path, 160 * MIB);
    bed.swap_on(0, params(&path, None));
    let (victims, others) = (Cgroup::new(16 * MIB), Cgroup::new(16 * MIB));
    let mut victim = Hog::start(&victims, Kind::Random, 40 * MIB, 22);
    let mut other = Hog::start(&others, Kind::Random, 40 * MIB, 23);
    victim.fill();
    other.fill();
    // The victim's pages, found where only we and the kernel see them as they are.
    let mut content = Page::zeros();
    let words: HashMap<u64, u64> = (0..40 * MIB / PAGE)
        .map(|index| {
            Kind::Random.fill(&mut content, 22, index, 0);
            (content.0[0], index)
        })
        .collect();
    let (disk, backing) = (open_direct(&bed.node(0)), open_direct(&path));
    let mut found = 0;
    for place in 1..160 * MIB / PAGE {
        let page = read(&disk, place).unwrap();
        let Some(index) = words.get(&page.0[0]) else {
            continue;
        };
        Kind::Random.fill(&mut content, 22, *index, 0);
        if *page == *content {
            let mut lies = read(&backing, place).unwrap();
            lies.0[511] ^= 1;
            write(&backing, place, &lies);
            found += 1;
        }
    }
    assert!(found > 1000, "{found} pages are on the disk");
    drop(disk);
    let end = victim.command("verify");
    assert!(end.contains("signal: 7"), "SIGBUS, not: {end}");
    other.verify();
    other.change();
    let (corrupt, failed) = errors(&bed);
    assert!(corrupt > 0 && failed > 0, "{corrupt} {failed}");
    drop((victim, other));
    bed.request(&Request::SwapOff { device: None });
}

/// Each initialisation has a key of its own: the same pages are other bytes, and what was there before
/// is nobody's.
#[test]
fn after_a_reset_the_key_is_another() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let path = bed.directory().join("backing");
    swap_file(&path, SIZE);
    let on_disk = || -> Vec<Box<Page>> {
        let backing = open_direct(&path);
        (1..PAGES)
            .map(|place| read(&backing, place).unwrap())
            .collect()
    };
    bed.init(params(&path, None));
    fill(&bed);
    let first = on_disk();
    reset(&bed);
    bed.init(params(&path, None));
    let disk = open_direct(&bed.node(0));
    assert!(
        *read(&disk, 7).unwrap() == *Page::zeros(),
        "nothing is left"
    );
    fill(&bed);
    let second = on_disk();
    assert!(first.iter().zip(&second).all(|(a, b)| **a != **b));
    // Sealed with the same numbers, under the key before.
    let backing = open_direct(&path);
    for (place, page) in (1..).zip(&first) {
        write(&backing, place, page);
    }
    for place in 1..PAGES {
        assert!(read(&disk, place).is_err(), "page {place}");
    }
    assert_eq!(errors(&bed), (PAGES - 1, PAGES - 1));
    drop(disk);
    reset(&bed);
}

#[test]
fn what_has_no_effect_is_said() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let arguments = [
        "swap",
        "on",
        "--driver",
        "user",
        "--size",
        "8M",
        "--backing-encryption",
    ];
    let on = bed.compcache(&[&arguments[..], &["on"]].concat());
    assert!(
        on.stderr.contains("no effect without a backing swap"),
        "{on:?}"
    );
    on.success();
    assert_eq!(bed.device(0).backing_encryption, None);
    bed.compcache(&["swap", "off"]).success();
}
