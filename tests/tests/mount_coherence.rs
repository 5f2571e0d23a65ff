//! SOURCE changes beneath a mount: when that is seen, and that it does no harm.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

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

/// A mount of a file whose first version, of so many pages, is held in both caches.
struct Warm {
    bed: MountBed,
    /// The file in SOURCE.
    source: PathBuf,
    /// The file in the mount.
    name: PathBuf,
}

impl Warm {
    /// `None` if it can't be mounted here.
    fn up(mode: Mode, options: &[&str], pages: usize) -> Option<Warm> {
        let bed = MountBed::mounted(
            mode,
            &[&["--cache", "4M", "--revalidate"], options].concat(),
        )?;
        let (source, name) = (bed.source().join("file"), bed.point().join("file"));
        let wanted = content(pages, 1);
        fs::write(&source, &wanted).unwrap();
        for _ in 0..3 {
            drop_page_cache(&File::open(&name).unwrap());
            assert!(fs::read(&name).unwrap() == wanted);
        }
        Some(Warm { bed, source, name })
    }

    fn open(&self) -> File {
        File::open(&self.name).unwrap()
    }
}

/// Who opens a file sees what was changed before, of the same size or another.
#[test]
fn seen_at_open() {
    for mode in Mode::WITH_SOURCE {
        let Some(warm) = Warm::up(mode, &["3600"], 32) else {
            return;
        };
        for (version, pages) in [(2, 32), (3, 48), (4, 5), (5, 0), (6, 32)] {
            let wanted = content(pages, version);
            change(&warm.source, &wanted);
            assert!(
                fs::read(&warm.name).unwrap() == wanted,
                "{mode:?}: version {version} is not seen at open"
            );
        }
        assert!(warm.bed.status().invalidated > 0);
        warm.bed.umount();
    }
}

/// Who has it open, or asks for names, sees it after the time of `--revalidate` at the latest.
#[test]
fn seen_in_time() {
    let Some(warm) = Warm::up(Mode::Through, &["1"], 8) else {
        return;
    };
    let file = warm.open();
    let mut bytes = vec![0; 8 * SIZE];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content(8, 1));
    change(&warm.source, &content(8, 2));
    wait_until("the change to be seen", || {
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes == content(8, 2)
    });
    change(&warm.source, &content(20, 3));
    wait_until("the size to be seen", || {
        file.metadata().unwrap().len() == 20 * PAGE
    });
    let (beneath, new) = (warm.bed.source().join("new"), warm.bed.point().join("new"));
    assert!(fs::metadata(&new).is_err());
    fs::write(&beneath, "new").unwrap();
    until("a new name to be seen", || fs::metadata(&new).ok());
    fs::remove_file(&beneath).unwrap();
    wait_until("a name to be gone", || fs::metadata(&new).is_err());
    drop(file);
    warm.bed.umount();
}

/// `--strict` asks SOURCE each time.
#[test]
fn seen_at_once_if_strict() {
    for mode in Mode::WITH_SOURCE {
        let Some(warm) = Warm::up(mode, &["3600", "--strict"], 8) else {
            return;
        };
        let file = warm.open();
        for version in 2..6 {
            let wanted = content(8 + version as usize % 3, version);
            change(&warm.source, &wanted);
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
            assert!(fs::read(&warm.name).unwrap() == wanted, "{mode:?}");
        }
        let (beneath, name) = (
            warm.bed.source().join("name"),
            warm.bed.point().join("name"),
        );
        for _ in 0..3 {
            assert!(fs::metadata(&name).is_err());
            fs::write(&beneath, "x").unwrap();
            assert_eq!(fs::read(&name).unwrap(), b"x");
            fs::remove_file(&beneath).unwrap();
        }
        drop(file);
        warm.bed.umount();
    }
}

/// Another file gets the name: who opens it gets the new one, who has the old one open keeps it.
#[test]
fn replaced_beneath() {
    let Some(warm) = Warm::up(Mode::Through, &["1"], 8) else {
        return;
    };
    let old = warm.open();
    let new = warm.source.with_extension("new");
    fs::write(&new, content(8, 2)).unwrap();
    fs::rename(&new, &warm.source).unwrap();
    wait_until("the new file", || {
        fs::read(&warm.name).unwrap() == content(8, 2)
    });
    drop_page_cache(&old);
    let mut bytes = vec![0; 8 * SIZE];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == content(8, 1), "the old file");
    drop(old);
    warm.bed.umount();
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
        assert_eq!(bed.status().counts.corrupt, 0);
        bed.umount();
    }
}
