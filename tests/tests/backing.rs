//! A backing swap that is really used: what does not compress and what does not fit goes there,
//! and comes back.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_device::ParamsUpdate;
use compcache_host::proc;
use compcache_tests::content::{Kind, Page};
use compcache_tests::{
    Bed, Cgroup, Hog, LoopFile, MIB, Mode, MountBed, Outcome, PAGE, SmallFilesystem, needs,
    open_direct, stats, swap_file,
};
use compcached::protocol::Request;

const SIZE: u64 = 96 * MIB;
const LIMIT: u64 = 32 * MIB;
const OVERFLOW: u64 = (SIZE - LIMIT) / PAGE;
/// Room for every page and for the kernel's clean copies.
const BACKING: u64 = 160 * MIB;

fn swap_on(bed: &Bed, backing: PathBuf, memlimit: Option<u64>) {
    bed.swap_on(
        0,
        ParamsUpdate {
            backing_swap: Some(backing),
            memlimit,
            ..Default::default()
        },
    );
}

/// Pages that do not compress go to the file; nothing of them stays in memory.
#[test]
fn incompressible_pages_go_to_a_file() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let path = bed.directory().join("backing");
    swap_file(&path, BACKING);
    swap_on(&bed, path, None);
    assert_eq!(bed.device(0).disksize, BACKING);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Random, SIZE, 11);
    hog.fill();
    let filled = stats(&bed, 0);
    assert!(filled.backing_writes >= OVERFLOW, "{filled:?}");
    assert!(filled.backing_pages >= OVERFLOW / 2, "{filled:?}");
    assert!(filled.compr_bytes < MIB, "{filled:?}");
    hog.change_at_random();
    hog.verify();
    let worked = stats(&bed, 0);
    assert!(worked.backing_reads >= OVERFLOW, "{worked:?}");
    assert_eq!((worked.failed_reads, worked.failed_writes), (0, 0));
}

/// Pages past the memory limit go to the partition although they compress well, and the pool
/// keeps its limit.
#[test]
fn pages_over_the_limit_go_to_a_partition() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let partition = LoopFile::swap(&bed.directory().join("partition"), BACKING);
    let memlimit = 8 * MIB;
    swap_on(&bed, partition.device().to_owned(), Some(memlimit));
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Structured, SIZE, 12);
    hog.fill();
    hog.change();
    hog.change_at_random();
    hog.verify();
    let worked = stats(&bed, 0);
    assert!(worked.pages_stored > 0, "{worked:?}");
    assert!(worked.backing_writes > 0, "{worked:?}");
    assert!(worked.backing_reads > 0, "{worked:?}");
    // The limit is on the pages' memory; the pool's own tables come on top.
    assert!(worked.pool_bytes <= memlimit + memlimit / 64, "{worked:?}");
    assert_eq!((worked.failed_reads, worked.failed_writes), (0, 0));
    drop(hog);
    drop(group);
    bed.request(&Request::SwapOff { device: None });
    // The partition is free again, and still a swap area for somebody else.
    swap_on(&bed, partition.device().to_owned(), None);
    bed.request(&Request::SwapOff { device: None });
}

/// A page has its own place in the backing swap, whatever was there before: overwriting moves it
/// between memory and the file, and both ways give the latest content.
#[test]
fn pages_move_between_memory_and_file() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let path = bed.directory().join("backing");
    swap_file(&path, 4 * MIB);
    bed.init(ParamsUpdate {
        backing_swap: Some(path),
        ..Default::default()
    });
    let disk = open_direct(&bed.node(0));
    let kinds = [Kind::Random, Kind::Structured, Kind::Mixed, Kind::Random];
    for (version, kind) in (0..).zip(kinds) {
        for index in 1..1024 {
            disk.write_all_at(page(kind, index, version).bytes(), index * PAGE)
                .unwrap();
        }
        let mut back = Page::zeros();
        for index in 1..1024 {
            disk.read_exact_at(back.bytes_mut(), index * PAGE).unwrap();
            assert!(
                *back == *page(kind, index, version),
                "page {index}, version {version}"
            );
        }
    }
    let worked = stats(&bed, 0);
    assert_eq!(worked.backing_pages, 1023, "{worked:?}");
    drop(disk);
    bed.request(&Request::Reset { device: 0 });
}

/// If the backing swap fails, the write fails and is counted; every other page stays as it is.
/// The file is cut short behind our back on a file system that is then filled to the brim.
#[test]
fn full_disk_under_the_backing_swap() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let small = SmallFilesystem::new(&bed.directory().join("small"), 24 * MIB);
    let path = small.place().join("backing");
    swap_file(&path, 8 * MIB);
    bed.init(ParamsUpdate {
        backing_swap: Some(path.clone()),
        ..Default::default()
    });
    let disk = open_direct(&bed.node(0));
    // Half of the disk: pages in the file, and pages in memory.
    for index in 1..1024 {
        let kind = kind_of(index);
        disk.write_all_at(page(kind, index, 0).bytes(), index * PAGE)
            .unwrap();
    }
    let before = stats(&bed, 0);
    let backing = OpenOptions::new().write(true).open(&path).unwrap();
    backing.set_len(4 * MIB).unwrap();
    small.fill();

    let failed: u64 = (1024..1200)
        .map(|index| {
            let result = disk.write_all_at(page(Kind::Random, index, 0).bytes(), index * PAGE);
            u64::from(result.is_err())
        })
        .sum();
    let after = stats(&bed, 0);
    assert!(failed > 100, "{failed} writes failed: {after:?}");
    assert!(
        after.failed_writes >= before.failed_writes + failed,
        "{after:?}"
    );
    // What compresses needs no disk.
    disk.write_all_at(page(Kind::Structured, 1300, 0).bytes(), 1300 * PAGE)
        .unwrap();
    let mut back = Page::zeros();
    for index in (1..1024).chain([1300]) {
        let kind = if index == 1300 {
            Kind::Structured
        } else {
            kind_of(index)
        };
        disk.read_exact_at(back.bytes_mut(), index * PAGE).unwrap();
        assert!(*back == *page(kind, index, 0), "page {index}");
    }
    drop(disk);
    bed.request(&Request::Reset { device: 0 });
}

/// Every other page compresses.
fn kind_of(index: u64) -> Kind {
    if index.is_multiple_of(2) {
        Kind::Random
    } else {
        Kind::Structured
    }
}

/// A page's content.
fn page(kind: Kind, index: u64, version: u64) -> Box<Page> {
    let mut page = Page::zeros();
    kind.fill(&mut page, 9, index, version);
    page
}

/// The refusal of a file as backing swap.
fn refused_as_backing(bed: &Bed, path: &Path, words: &[&str]) {
    let path = path.to_str().expect("UTF-8");
    bed.rzscontrol(&["ramzswap0", "-b", path, "-i"])
        .refused(words);
}

/// A file in memory, or behind a server that needs memory, is no place for what memory has no room for.
#[test]
fn files_without_a_place_on_a_disk_are_refused() {
    let Some(bed) = MountBed::mounted(Mode::Through, &["--cache", "4M"]) else {
        return;
    };
    swap_file(&bed.source().join("backing"), MIB);
    let ours = bed.point().join("backing");
    refused_as_backing(bed.bed(), &ours, &["a mount of compcache", "ext4"]);

    let tmpfs = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let path = tmpfs.path().join("backing");
    swap_file(&path, MIB);
    refused_as_backing(bed.bed(), &path, &["tmpfs", "ext4"]);
}

/// Whether the kernel has Btrfs. If not, says so.
fn has_btrfs() -> bool {
    // If it is a module. Whether that worked shows in the list.
    let _ = Command::new("modprobe").arg("btrfs").output();
    let known = proc::read(Path::new("/proc/filesystems")).expect("the list of file systems");
    let has = proc::words(&known).any(|word| word == b"btrfs");
    needs::need(has, "needs a kernel with Btrfs")
}

/// On Btrfs a file must be one that is written in place, and stay one.
#[test]
fn files_that_are_copied_on_write_are_refused() {
    if !needs::programs(&["mkfs.btrfs", "chattr"]) || !has_btrfs() {
        return;
    }
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let btrfs = SmallFilesystem::btrfs(&bed.directory().join("btrfs"), 192 * MIB);
    let copied = btrfs.place().join("copied");
    swap_file(&copied, MIB);
    refused_as_backing(&bed, &copied, &["Btrfs", "chattr +C"]);

    let in_place = btrfs.place().join("in_place");
    fs::File::create(&in_place).expect("a new file");
    Outcome::of(Command::new("chattr").arg("+C").arg(&in_place)).success();
    swap_file(&in_place, MIB);
    let path = in_place.to_str().expect("UTF-8");
    bed.rzscontrol(&["ramzswap0", "-b", path, "-i"]).success();
    bed.rzscontrol(&["ramzswap0", "-r"]).success();

    let shared = btrfs.place().join("shared");
    fs::File::create(&shared).expect("a new file");
    Outcome::of(Command::new("chattr").arg("+C").arg(&shared)).success();
    let mut copy = Command::new("cp");
    copy.arg("--reflink=always").arg(&in_place).arg(&shared);
    Outcome::of(&mut copy).success();
    refused_as_backing(&bed, &in_place, &["shared with a snapshot", "dd"]);
}
