//! SOURCE changes beneath a mount: when that is seen, and that it does no harm.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use compcache_tests::content::{Kind, Page};
use compcache_tests::{Map, Mode, MountBed, PAGE, drop_page_cache, until, wait_until};

const SIZE: usize = PAGE as usize;

fn content(pages: usize, version: u64) -> Vec<u8> {
    let mut page = Page::zeros();
    (0..pages)
        .flat_map(|index| {
            Kind::Structured.fill(&mut page, 9, index as u64, version);
            page.bytes().to_vec()
        })
        .collect()
}

/// Changes a file in SOURCE. File systems tell two changes apart only if their clock has ticked
/// between them, so this is done until it has.
fn change(path: &Path, bytes: &[u8]) {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).expect("its metadata");
        (metadata.len(), metadata.ctime(), metadata.ctime_nsec())
    };
    let before = stamp(path);
    wait_until("the file system's clock", || {
        fs::write(path, bytes).expect("a change");
        stamp(path) != before
    });
}

/// Reads a file until it is held in both caches.
fn warm(bed: &MountBed, name: &str, wanted: &[u8]) {
    for _ in 0..3 {
        let file = File::open(bed.point().join(name)).unwrap();
        drop_page_cache(&file);
        drop(file);
        assert!(fs::read(bed.point().join(name)).unwrap() == wanted);
    }
}

/// Who opens a file sees what was changed before, of the same size or another.
#[test]
fn seen_at_open() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = MountBed::mounted(mode, &["--cache", "4M", "--revalidate", "3600"]) else {
            return;
        };
        let path = bed.source().join("file");
        fs::write(&path, content(32, 1)).unwrap();
        warm(&bed, "file", &content(32, 1));
        for (version, pages) in [(2, 32), (3, 48), (4, 5), (5, 0), (6, 32)] {
            let wanted = content(pages, version);
            change(&path, &wanted);
            let found = fs::read(bed.point().join("file")).unwrap();
            assert!(
                found == wanted,
                "{mode:?}: version {version} is not seen at open"
            );
        }
        assert!(bed.status().invalidated > 0);
        bed.umount();
    }
}

/// Who has it open, or asks for names, sees it after the time of `--revalidate` at the latest.
#[test]
fn seen_in_time() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "4M", "--revalidate", "1"])
    else {
        return;
    };
    let path = bed.source().join("file");
    fs::write(&path, content(8, 1)).unwrap();
    warm(&bed, "file", &content(8, 1));
    let file = File::open(bed.point().join("file")).unwrap();
    let mut bytes = vec![0; 8 * SIZE];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content(8, 1));
    change(&path, &content(8, 2));
    wait_until("the change to be seen", || {
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes == content(8, 2)
    });
    change(&path, &content(20, 3));
    wait_until("the size to be seen", || {
        file.metadata().unwrap().len() == 20 * PAGE
    });
    assert!(fs::metadata(bed.point().join("new")).is_err());
    fs::write(bed.source().join("new"), "new").unwrap();
    until("a new name to be seen", || {
        fs::metadata(bed.point().join("new")).ok()
    });
    fs::remove_file(bed.source().join("new")).unwrap();
    wait_until("a name to be gone", || {
        fs::metadata(bed.point().join("new")).is_err()
    });
    drop(file);
    bed.umount();
}

/// `--strict` asks SOURCE each time.
#[test]
fn seen_at_once_if_strict() {
    for mode in Mode::WITH_SOURCE {
        let options = ["--cache", "4M", "--revalidate", "3600", "--strict"];
        let Some(bed) = MountBed::mounted(mode, &options) else {
            return;
        };
        let path = bed.source().join("file");
        fs::write(&path, content(8, 1)).unwrap();
        warm(&bed, "file", &content(8, 1));
        let file = File::open(bed.point().join("file")).unwrap();
        for version in 2..6 {
            let wanted = content(8 + version as usize % 3, version);
            change(&path, &wanted);
            assert_eq!(
                file.metadata().unwrap().len(),
                wanted.len() as u64,
                "{mode:?}"
            );
            let mut bytes = vec![0; wanted.len()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert!(
                bytes == wanted,
                "{mode:?}: version {version} through an open file"
            );
            assert!(
                fs::read(bed.point().join("file")).unwrap() == wanted,
                "{mode:?}"
            );
        }
        let name = bed.point().join("name");
        for _ in 0..3 {
            assert!(fs::metadata(&name).is_err());
            fs::write(bed.source().join("name"), "x").unwrap();
            assert_eq!(fs::read(&name).unwrap(), b"x");
            fs::remove_file(bed.source().join("name")).unwrap();
        }
        drop(file);
        bed.umount();
    }
}

/// Another file gets the name: who opens it gets the new one, who has the old one open keeps it.
#[test]
fn replaced_beneath() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "4M", "--revalidate", "1"])
    else {
        return;
    };
    let path = bed.source().join("file");
    fs::write(&path, content(8, 1)).unwrap();
    warm(&bed, "file", &content(8, 1));
    let old = File::open(bed.point().join("file")).unwrap();
    fs::write(bed.source().join("file.new"), content(8, 2)).unwrap();
    fs::rename(bed.source().join("file.new"), &path).unwrap();
    wait_until("the new file", || {
        fs::read(bed.point().join("file")).unwrap() == content(8, 2)
    });
    drop_page_cache(&old);
    let mut bytes = vec![0; 8 * SIZE];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content(8, 1), "the old file");
    drop(old);
    bed.umount();
}

/// A file becomes shorter beneath a mapping: what is past its end can't be read, or is zeros, as
/// far as the kernel still has it; everything else goes on.
#[test]
fn truncated_beneath_a_mapping() {
    for mode in Mode::WITH_SOURCE {
        let Some(bed) = MountBed::mounted(mode, &["--cache", "4M", "--revalidate", "1"]) else {
            return;
        };
        for name in ["file", "other"] {
            fs::write(bed.source().join(name), content(32, 1)).unwrap();
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open(bed.point().join("file"))
            .unwrap();
        let map = Map::new(&file, 32 * SIZE, true).unwrap();
        assert!(map.read(0, 32 * SIZE).unwrap() == content(32, 1));
        map.write(20 * SIZE, b"dirty").unwrap();
        File::options()
            .write(true)
            .open(bed.source().join("file"))
            .and_then(|beneath| beneath.set_len(4 * PAGE))
            .unwrap();
        drop_page_cache(&file);
        wait_until("the size to be seen", || {
            file.metadata().unwrap().len() <= 21 * PAGE
        });
        // The first pages are as they were, whatever became of the others.
        assert!(map.read(0, 4 * SIZE).unwrap() == content(4, 1));
        for page in 4..32 {
            if let Ok(bytes) = map.read(page * SIZE, SIZE) {
                let old = &content(32, 1)[page * SIZE..][..SIZE];
                let fits = bytes.iter().all(|byte| *byte == 0) || bytes == old || page == 20;
                assert!(fits, "{mode:?}: page {page}");
            }
        }
        // Writing out what was dirty may fail, but nothing hangs.
        let _ = map.sync();
        drop(map);
        drop(file);
        assert!(fs::read(bed.point().join("other")).unwrap() == content(32, 1));
        assert_eq!(bed.status().corrupt, 0);
        bed.umount();
    }
}
