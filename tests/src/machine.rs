//! The machine: whether a test can run on it, and what it has now.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use compcache_host::{block, mountinfo};
use compcache_test_support::needs;
use rustix::fs::FlockOperation;

use crate::cgroup;

/// The lock that tests of the whole machine hold one after the other.
const LOCK: &str = "/tmp/compcache-tests.lock";
/// The programs that prepare and take down what tests use.
const PROGRAMS: [&str; 9] = [
    "mkswap",
    "swapon",
    "swapoff",
    "losetup",
    "mount",
    "umount",
    "unshare",
    "setpriv",
    "mkfs.ext4",
];

/// The right to use the machine's swap, loop devices and cgroups.
#[derive(Debug)]
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// Waits until no other test uses the machine. `None`, after saying so, if the machine
    /// lacks what is needed: root, `/dev/fuse`, loop devices, a memory cgroup, programs.
    ///
    /// # Panics
    /// Instead of `None` if `COMPCACHE_REQUIRE_ROOT_TESTS` is 1.
    #[must_use]
    pub fn take() -> Option<Machine> {
        if !needs::root()
            || !needs::file("/dev/fuse")
            || !needs::file("/dev/loop-control")
            || !needs::need(cgroup::exists(), "needs a memory cgroup")
            || !needs::programs(&PROGRAMS)
        {
            return None;
        }
        let lock = File::create(LOCK).expect("the tests' lock file");
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("the tests' lock");
        Some(Machine { _lock: lock })
    }
}

/// Mount points at or under `directory`.
///
/// # Panics
/// If `/proc/self/mountinfo` can't be read.
#[must_use]
pub fn mounts_under(directory: &Path) -> Vec<PathBuf> {
    let table = mountinfo::read().expect("the mounts");
    mountinfo::parse(&table)
        .map(|mount| mount.mountpoint)
        .filter(|path| path.starts_with(directory))
        .collect()
}

/// Loop devices whose file is at or under `directory`, such as `/dev/loop3`.
#[must_use]
pub fn loops_under(directory: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter(|device| {
            let file = block::backing_file(&device.path());
            file.is_some_and(|file| file.starts_with(directory))
        })
        .map(|device| Path::new("/dev").join(device.file_name()))
        .collect()
}

/// Processes, other than this one, in whose command line or environment `text` stands.
#[must_use]
pub fn processes_with(text: &Path) -> Vec<u32> {
    let text = text.as_os_str().as_bytes();
    let has = |file: PathBuf| {
        fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let found = has(entry.path().join("cmdline")) || has(entry.path().join("environ"));
            (found && pid != std::process::id()).then_some(pid)
        })
        .collect()
}
