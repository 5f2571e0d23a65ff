//! A crash of the daemon writes nobody's pages to a disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use compcache_host::maps::{self, Mapped};
use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, Mode, MountBed, NOBODY, Outcome, limits, proc_file};

fn assert_nothing_to_dump(pid: u32) {
    let filter = proc_file(pid, "coredump_filter");
    let filter = std::str::from_utf8(filter.trim_ascii()).expect("a number");
    assert_eq!(u32::from_str_radix(filter, 16), Ok(0));
    let limits = limits(pid);
    let core = limits
        .iter()
        .find(|limit| limit.name == "Max core file size");
    let core = core.expect("a limit");
    assert_eq!((&*core.soft, &*core.hard), ("0", "0"));
}

fn is_dumped(mapped: &Mapped<'_>) -> bool {
    !mapped.has_flag("dd")
}

fn is_memfd(mapped: &Mapped<'_>) -> bool {
    mapped.name.starts_with(b"/memfd:")
}

#[test]
fn what_a_daemon_holds_is_in_no_dump() {
    let Some(mut bed) = MountBed::mounted(Mode::Back, &["--cache", "8M"]) else {
        return;
    };
    bed.bed()
        .compcache(&["swap", "on", "--size", "64M"])
        .success();
    let group = Cgroup::new(8 * MIB);
    let mut hog = Hog::start(&group, Kind::Mixed, 24 * MIB, 5);
    hog.fill();
    fs::write(bed.point().join("file"), vec![b'x'; 1 << 20]).expect("a file");
    for pid in [bed.pid(), bed.bed().mount_pid()] {
        assert_nothing_to_dump(pid);
        let smaps = proc_file(pid, "smaps");
        let held: Vec<_> = maps::parse(&smaps).into_iter().filter(is_memfd).collect();
        // A pool and a table, of the device and of the mount, and the counts that both processes share.
        assert!(held.len() >= 3, "{} mappings", held.len());
        for mapped in held {
            assert!(!is_dumped(&mapped), "{mapped:?}");
        }
    }
    // The workers' buffers: a page, and the longest request.
    let smaps = proc_file(bed.pid(), "smaps");
    let is_buffer = |mapped: &&Mapped<'_>| {
        let bytes = mapped.addresses.end - mapped.addresses.start;
        mapped.name.is_empty() && mapped.rights.contains(&b'w') && bytes == MIB + 4096
    };
    let mappings = maps::parse(&smaps);
    let dumped: Vec<bool> = mappings.iter().filter(is_buffer).map(is_dumped).collect();
    assert!(dumped.len() >= 2 && !dumped.contains(&true), "{dumped:?}");
    drop(hog);
    drop(group);
    bed.bed().compcache(&["swap", "off"]).success();
    bed.umount();
}

/// One of a user who is not root: that user can neither look into it nor stop it by a debugger, and neither
/// can a program of the user's that was taken over.
#[test]
fn a_daemon_is_closed_to_its_own_user() {
    let Some(mut bed) = Bed::new() else { return };
    fs::create_dir(bed.runtime_dir()).expect("a directory");
    chown(bed.runtime_dir(), Some(NOBODY), Some(NOBODY)).expect("its owner");
    let mut command = Command::new(bed.copy_of("compcached"));
    bed.set_environment(command.uid(NOBODY).gid(NOBODY));
    bed.start_by(&mut command);
    let pid = bed.daemon().pid();
    assert_nothing_to_dump(pid);
    let status = fs::metadata(format!("/proc/{pid}/status")).expect("a process");
    assert_eq!((status.uid(), status.gid()), (0, 0));
    let mut look = Command::new("cat");
    look.arg(format!("/proc/{pid}/maps"))
        .uid(NOBODY)
        .gid(NOBODY);
    Outcome::of(&mut look).refused(&["Permission denied"]);
    bed.as_nobody("compcache", &["status"]).success();
    bed.stop();
    bed.assert_nothing_left();
}
