//! The machine: whether a test can run on it, and what it has now.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FlockOperation;

use crate::cgroup;

/// The lock that tests of the whole machine hold one after the other.
const LOCK: &str = "/tmp/compcache-tests.lock";
/// With this set, a test that can't run fails.
const REQUIRE: &str = "COMPCACHE_REQUIRE_ROOT_TESTS";

/// The right to use the machine's swap, loop devices and cgroups.
#[derive(Debug)]
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// Waits until no other test uses the machine. `None`, after saying so, where the machine
    /// lacks what is needed: root, `/dev/fuse`, loop devices, a memory cgroup.
    ///
    /// # Panics
    /// Instead of `None` where `COMPCACHE_REQUIRE_ROOT_TESTS` is 1.
    #[must_use]
    pub fn take() -> Option<Machine> {
        let root = rustix::process::geteuid().is_root();
        if !need(root, "needs root")
            || !need(Path::new("/dev/fuse").exists(), "needs /dev/fuse")
            || !need(
                Path::new("/dev/loop-control").exists(),
                "needs loop devices (/dev/loop-control)",
            )
            || !need(cgroup::exists(), "needs a memory cgroup")
        {
            return None;
        }
        let lock = File::create(LOCK).expect("the tests' lock file");
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("the tests' lock");
        Some(Machine { _lock: lock })
    }
}

/// Whether a test can run: `met`, or else says why not.
///
/// # Panics
/// Where it can't, and `COMPCACHE_REQUIRE_ROOT_TESTS` is 1.
#[must_use]
pub fn need(met: bool, why: &str) -> bool {
    if !met {
        assert!(
            std::env::var_os(REQUIRE).is_none_or(|value| value != "1"),
            "this test {why}, and {REQUIRE} is 1"
        );
        // The test harness captures what a test prints; this line must be seen all the same.
        let test = std::thread::current();
        let line = format!("SKIPPED: {}: {why}", test.name().unwrap_or("a test"));
        let told = Command::new("sh")
            .args(["-c", "printf '%s\\n' \"$0\" >&2", &line])
            .stdin(Stdio::null())
            .status();
        if told.is_err() {
            eprintln!("{line}");
        }
    }
    met
}

/// Mount points at or under `directory`.
///
/// # Panics
/// Where `/proc/self/mountinfo` can't be read.
#[must_use]
pub fn mounts_under(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(directory))
        .collect()
}

/// Loop devices whose file is at or under `directory`, such as `/dev/loop3`.
#[must_use]
pub fn loops_under(directory: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter(|device| {
            fs::read_to_string(device.path().join("loop/backing_file"))
                .is_ok_and(|file| Path::new(file.trim_end()).starts_with(directory))
        })
        .map(|device| Path::new("/dev").join(device.file_name()))
        .collect()
}

/// Processes, other than this one, in whose command line or environment `text` stands.
#[must_use]
pub fn processes_with(text: &Path) -> Vec<u32> {
    use std::os::unix::ffi::OsStrExt as _;
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
