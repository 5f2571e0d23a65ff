//! Several threads and processes at once, in the same files and in others.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use compcache_tests::content::{Kind, Page};
use compcache_tests::{
    Mode, MountBed, PAGE, Random, Running, SetAtEnd, drop_page_cache, test_program,
};

/// A mount in each mode, with a small cache.
fn in_each_mode(test: impl Fn(&MountBed, Mode)) {
    for mode in Mode::ALL {
        let size: &[&str] = match mode {
            Mode::Ram => &["--size", "128M"],
            _ => &["--cache", "1M"],
        };
        let Some(bed) = MountBed::mounted(mode, size) else {
            return;
        };
        test(&bed, mode);
        assert_eq!(bed.status().counts.corrupt, 0);
        bed.umount();
    }
}

/// Starts the test's own program.
fn start(arguments: &[&str], path: &Path) -> Running {
    let (command, rest) = arguments.split_first().expect("a command");
    let mut program = Command::new(test_program("compcache-test-files"));
    Running::start(program.arg(command).arg(path).args(rest))
}

fn finish(all: impl IntoIterator<Item = Running>) {
    for running in all {
        running.finish().success();
    }
}

/// The file through the mount, from the kernel's cache and from ours, and on SOURCE: identical.
fn read_everywhere(bed: &MountBed, mode: Mode, name: &str) -> Vec<u8> {
    let path = bed.point().join(name);
    let bytes = fs::read(&path).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    drop_page_cache(&file);
    assert!(
        fs::read(&path).unwrap() == bytes,
        "{mode:?}: {name} changed when it was dropped"
    );
    if mode != Mode::Ram {
        assert!(
            fs::read(bed.source().join(name)).unwrap() == bytes,
            "{mode:?}: {name} in SOURCE"
        );
    }
    bytes
}

#[test]
fn two_processes_append() {
    in_each_mode(|bed, mode| {
        let path = bed.point().join("log");
        finish(["a", "b"].map(|tag| start(&["append", "300", tag], &path)));
        let bytes = read_everywhere(bed, mode, "log");
        let text = String::from_utf8(bytes).expect("no line has a byte of another");
        let mut next = [("a", 0), ("b", 0)];
        for line in text.lines() {
            let [tag, number, filler] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{mode:?}: a broken line: {line}");
            };
            let (_, next) = next
                .iter_mut()
                .find(|(known, _)| *known == tag)
                .expect("a tag");
            assert_eq!(number, next.to_string(), "{mode:?}");
            assert_eq!(filler, "-".repeat(*next * 977 % 8000), "{mode:?}");
            *next += 1;
        }
        assert_eq!(next, [("a", 300), ("b", 300)], "{mode:?}");
    });
}

#[test]
fn locks_between_processes() {
    in_each_mode(|bed, mode| {
        for lock in ["fcntl", "flock"] {
            let path = bed.point().join(lock);
            fs::write(&path, [0; 8]).unwrap();
            finish([(); 3].map(|()| start(&[lock, "400"], &path)));
            let bytes = read_everywhere(bed, mode, lock);
            assert_eq!(bytes, 1200_u64.to_ne_bytes(), "{mode:?}, {lock}");
        }
    });
}

/// Threads and processes write whole pages over each other's. As on the kernel's own file
/// systems, each page is one that somebody wrote.
#[test]
fn pages_are_not_mixed() {
    in_each_mode(|bed, mode| {
        let path = bed.point().join("pages");
        File::create(&path).unwrap().set_len(64 * PAGE).unwrap();
        let processes = ["1", "2"].map(|tag| start(&["pages", "500", tag], &path));
        thread::scope(|scope| {
            for tag in 3..5 {
                let path = &path;
                scope.spawn(move || {
                    let file = OpenOptions::new()
                        .read(true)
                        .write(true)
                        .open(path)
                        .unwrap();
                    let mut random = Random::of(&[tag]);
                    for number in 0..500 {
                        let page = Page::tagged(tag << 32 | number);
                        file.write_all_at(page.bytes(), random.below(64) * PAGE)
                            .unwrap();
                        if number % 50 == 0 {
                            drop_page_cache(&file);
                        }
                    }
                });
            }
        });
        finish(processes);
        let bytes = read_everywhere(bed, mode, "pages");
        for (index, page) in bytes.chunks(PAGE as usize).enumerate() {
            let tag = Page::tag(page).unwrap_or_else(|| panic!("{mode:?}: page {index} is mixed"));
            assert!(
                (1..5).contains(&(tag >> 32)) && tag << 32 >> 32 < 500,
                "{tag:#x}"
            );
        }
    });
}

/// Each thread has a file of its own, three times the cache together, and finds in it what it
/// wrote.
#[test]
fn files_side_by_side() {
    in_each_mode(|bed, mode| {
        thread::scope(|scope| {
            for number in 0..4 {
                let path = bed.point().join(format!("file{number}"));
                scope.spawn(move || {
                    let file = OpenOptions::new()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(path)
                        .unwrap();
                    let mut versions = [0_u64; 192];
                    let mut random = Random::of(&[number]);
                    let mut page = Page::zeros();
                    let mut found = Page::zeros();
                    for step in 0..1500 {
                        let index = random.below(192);
                        let version = &mut versions[index as usize];
                        if *version == 0 || random.below(3) == 0 {
                            *version += 1;
                            Kind::Mixed.fill(&mut page, number, index, *version);
                            file.write_all_at(page.bytes(), index * PAGE).unwrap();
                        } else {
                            Kind::Mixed.fill(&mut page, number, index, *version);
                            file.read_exact_at(found.bytes_mut(), index * PAGE).unwrap();
                            assert!(found == page, "{mode:?}: file {number}, page {index}");
                        }
                        match step % 100 {
                            0 => drop_page_cache(&file),
                            50 => file.sync_data().unwrap(),
                            _ => {}
                        }
                    }
                });
            }
        });
        for number in 0..4 {
            read_everywhere(bed, mode, &format!("file{number}"));
        }
    });
}

/// A file that is replaced again and again is there at any time, and is one of its versions.
#[test]
fn replaced_while_it_is_read() {
    in_each_mode(|bed, mode| {
        let content = |version: u64| {
            let page = Page::tagged(version);
            [page.bytes(); 3].concat()
        };
        let path = bed.point().join("config");
        fs::write(&path, content(0)).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::SeqCst) {
                        let bytes = fs::read(&path).expect("the file is there at any time");
                        let version = Page::tag(&bytes[..PAGE as usize]).expect("a whole page");
                        assert!(
                            bytes == content(version),
                            "{mode:?}: version {version} is mixed"
                        );
                        assert!(version >= last, "{mode:?}: version {version} after {last}");
                        last = version;
                    }
                });
            }
            let _end = SetAtEnd(&done);
            for version in 1..300 {
                let temporary = bed.point().join("config.new");
                fs::write(&temporary, content(version)).unwrap();
                fs::rename(&temporary, &path).unwrap();
            }
        });
        assert!(read_everywhere(bed, mode, "config") == content(299));
    });
}
