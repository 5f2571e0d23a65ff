//! What a mount takes of the machine's memory, with many files.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use compcache_tests::content::{Kind, Page};
use compcache_tests::{MIB, Mode, MountBed, PAGE, SetAtEnd, drop_page_cache, wait_until};

/// Most bytes that the daemon takes for a file that the kernel knows of.
const BYTES_A_FILE: u64 = 640;
/// Most bytes more that it takes for requests and threads, whatever the number of files.
const BYTES_ANYWAY: u64 = 24 * MIB;
/// Files in a directory.
const DIRECTORY: u64 = 1000;

/// Files that are read together.
const GROUP: usize = 100;

/// Number of files: the variable's, or a number that takes a few seconds.
fn count(default: u64) -> u64 {
    std::env::var("COMPCACHE_TEST_FILES").map_or(default, |text| text.parse().expect("a number"))
}

fn path(top: &Path, number: u64) -> PathBuf {
    top.join(format!("{}/file {number}", number / DIRECTORY))
}

fn make(top: &Path, count: u64, mut each: impl FnMut(&Path, u64)) {
    for number in 0..count {
        if number % DIRECTORY == 0 {
            fs::create_dir(top.join((number / DIRECTORY).to_string())).expect("a new directory");
        }
        each(&path(top, number), number);
    }
}

/// Lists every directory and looks at every file.
fn walk(top: &Path) -> u64 {
    let mut left = vec![top.to_owned()];
    let mut count = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("its metadata");
            if metadata.is_dir() {
                left.push(entry.path());
            } else {
                assert_eq!(metadata.len(), 0);
                count += 1;
            }
        }
    }
    count
}

/// Makes the kernel forget the names and inodes that nobody uses.
fn forget() {
    fs::write("/proc/sys/vm/drop_caches", "2").expect("drop_caches");
}

#[test]
fn walk_over_many_files() {
    let Some(bed) = MountBed::new() else {
        return;
    };
    let count = count(100_000);
    make(bed.source(), count, |path, _| {
        File::create(path).expect("a new file");
    });
    bed.mount(Mode::Through, &["--cache", "4M"]);
    let before = bed.resident();
    assert_eq!(walk(bed.point()), count);
    assert_eq!(walk(bed.point()), count, "a second time");
    let status = bed.status();
    let resident = bed.resident();
    let taken = resident
        .saturating_sub(before)
        .saturating_sub(status.pool_bytes);
    assert!(
        taken <= BYTES_ANYWAY + count * BYTES_A_FILE,
        "{taken} bytes for {count} files, {} each: {status:?}",
        taken / count
    );
    assert!(
        status.pool_bytes + status.index_bytes <= status.limit,
        "{status:?}"
    );
    // What the kernel forgets is forgotten here.
    wait_until("inodes to be forgotten", || {
        forget();
        bed.status().inodes <= count / 100 + 1
    });
    bed.umount();
}

/// More small files than there is room for: at no time more memory than allowed.
#[test]
fn read_many_files() {
    let Some(bed) = MountBed::new() else { return };
    let count = count(100_000) / 20;
    let mut page = Page::zeros();
    let length = |number: u64| (number * 577 % (2 * PAGE)) as usize + 1;
    let mut content = |number: u64| {
        let mut bytes = Vec::new();
        for part in 0..2 {
            Kind::Mixed.fill(&mut page, number, part + 5 * (number % 3), 1);
            bytes.extend_from_slice(page.bytes());
        }
        bytes.truncate(length(number));
        bytes
    };
    make(bed.source(), count, |path, number| {
        fs::write(path, content(number)).expect("a file");
    });
    bed.mount(Mode::Through, &["--cache", "4M"]);
    let done = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::SeqCst) {
                let status = bed.status();
                let held = status.pool_bytes + status.index_bytes;
                assert!(held <= status.limit, "{status:?}");
                most = most.max(held);
            }
            most
        });
        let end = SetAtEnd(&done);
        // What is read a second time is taken in.
        for group in (0..count).step_by(GROUP) {
            for number in (group..count.min(group + GROUP as u64))
                .cycle()
                .take(3 * GROUP)
            {
                let mut file = File::open(path(bed.point(), number)).expect("a file");
                drop_page_cache(&file);
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).expect("its bytes");
                assert!(bytes == content(number), "file {number}");
            }
        }
        drop(end);
        watch.join().expect("never too much")
    });
    let status = bed.status();
    assert_eq!(status.limit, 4 * MIB);
    assert!(most > MIB, "the cache was used: {status:?}");
    assert!(
        status.counts.hits > 0 && status.counts.evicted > 0,
        "{status:?}"
    );
    bed.umount();
}
