//! A directory that is mounted with `compcache mount`, by a daemon of the test's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use compcache_files::MountStatus;
use rustix::fs::Advice;

use crate::bed::Bed;
use crate::cgroup::Cgroup;
use crate::machine::{mounts_under, processes_with};
use crate::outcome::{Outcome, Running, try_signal};
use crate::process::status_field;
use compcache_test_support::wait_until;

/// After this time a test is taken to hang in a request that is never answered.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a mount does with writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are on SOURCE before they are answered.
    Through,
    /// They are kept, and written out later.
    Back,
    /// There is no SOURCE.
    Ram,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Through, Mode::Back, Mode::Ram];
    /// Those with a SOURCE.
    pub const WITH_SOURCE: [Mode; 2] = [Mode::Through, Mode::Back];
}

/// A daemon, a directory `source` and an empty one, `point`, where it can be mounted.
///
/// If the test takes longer than `PATIENCE`, the daemon and the process of its mounts are killed: requests that were
/// never answered then fail, and so does the test.
#[derive(Debug)]
pub struct MountBed {
    // Before the bed: nobody may kill a process that the bed has waited for.
    watchdog: Watchdog,
    bed: Bed,
    source: PathBuf,
    point: PathBuf,
}

impl MountBed {
    /// A bed whose daemon runs; `None`, after saying so, if this machine can't have one.
    ///
    /// # Panics
    /// If the daemon does not start.
    #[must_use]
    pub fn new() -> Option<MountBed> {
        Self::around(Bed::with_devices(1)?)
    }

    /// As [`MountBed::new`], with the daemon in a cgroup, which must live longer.
    ///
    /// # Panics
    /// If the daemon does not start.
    #[must_use]
    pub fn in_group(group: &Cgroup) -> Option<MountBed> {
        let mut bed = Bed::new()?;
        bed.start_in(group, &["--num-devices", "1"]);
        Self::around(bed)
    }

    fn around(bed: Bed) -> Option<MountBed> {
        let [source, point] = ["source", "point"].map(|name| bed.directory().join(name));
        for directory in [&source, &point] {
            fs::create_dir(directory).expect("a new directory");
        }
        let mut bed = MountBed {
            watchdog: Watchdog::start(bed.directory()),
            bed,
            source,
            point,
        };
        bed.watch();
        Some(bed)
    }

    /// As [`MountBed::new`], with SOURCE or a memory file system mounted.
    ///
    /// # Panics
    /// If one of them is refused.
    #[must_use]
    pub fn mounted(mode: Mode, options: &[&str]) -> Option<MountBed> {
        let bed = MountBed::new()?;
        bed.mount(mode, options);
        Some(bed)
    }

    /// The daemon, and the programs that speak to it.
    #[must_use]
    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// The directory that is shown.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Shows another directory from the next [`MountBed::mount`] on.
    pub fn set_source(&mut self, source: &Path) {
        source.clone_into(&mut self.source);
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Runs `compcache mount`. A memory file system needs `--size` among the options.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn mount(&self, mode: Mode, options: &[&str]) {
        self.try_mount(mode, options).success();
    }

    /// Runs `compcache mount`, which may fail.
    #[must_use]
    pub fn try_mount(&self, mode: Mode, options: &[&str]) -> Outcome {
        let mut command = self.bed.command("compcache");
        command.arg("mount").args(match mode {
            Mode::Through => &["--write-through"][..],
            Mode::Back => &["--write-back"],
            Mode::Ram => &["--ram"],
        });
        command.args(options);
        if mode != Mode::Ram {
            command.arg(&self.source);
        }
        Outcome::of(command.arg(&self.point))
    }

    /// Runs `compcache umount`.
    ///
    /// # Panics
    /// If it fails, or something is still mounted.
    #[track_caller]
    pub fn umount(&self) {
        Outcome::of(self.bed.command("compcache").arg("umount").arg(&self.point)).success();
        assert_eq!(mounts_under(&self.point), Vec::<PathBuf>::new());
    }

    /// Runs `compcache sync` on the mount.
    #[must_use]
    pub fn sync(&self) -> Outcome {
        Outcome::of(self.bed.command("compcache").arg("sync").arg(&self.point))
    }

    /// What `compcache status --json` says of the mount.
    ///
    /// # Panics
    /// If it says nothing of it.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> MountStatus {
        let text = self.bed.compcache(&["status", "--json"]).success();
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let mounts = all["mounts"].as_array().cloned().unwrap_or_default();
        mounts
            .into_iter()
            .filter(|mount| mount["mountpoint"].as_str() == self.point.to_str())
            .map(|mount| serde_json::from_value(mount).expect("a mount's status"))
            .next()
            .unwrap_or_else(|| panic!("no mount at {}: {text}", self.point.display()))
    }

    /// Kills the daemon and the process of its mounts, neither of which can do anything about it.
    ///
    /// # Panics
    /// If one has ended already.
    pub fn kill(&mut self) {
        let mounts = self.bed.mount_pid();
        let daemon = self.release_daemon();
        daemon.signal(libc::SIGSTOP);
        assert!(try_signal(mounts, libc::SIGKILL), "process {mounts}");
        daemon.signal(libc::SIGKILL);
        let out = daemon.finish();
        assert_eq!(out.code(), 128 + libc::SIGKILL, "{out}");
    }

    /// The daemon, which belongs to the test from here on.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn release_daemon(&mut self) -> Running {
        self.watchdog.watch(0);
        self.bed.take_daemon()
    }

    /// Asks the daemon to end. It belongs to the test then.
    ///
    /// # Panics
    /// If it has ended already.
    #[must_use]
    pub fn terminate(&mut self) -> Running {
        let daemon = self.release_daemon();
        daemon.signal(libc::SIGTERM);
        daemon
    }

    /// Starts the daemon again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.bed.start(&["--num-devices", "1"]);
        self.watch();
    }

    /// After [`MountBed::kill`]: starts the daemon again and mounts as before. A user who sees
    /// that `compcache mount` refuses the dead mount takes it away by `umount -l`, as the
    /// message must say.
    ///
    /// # Panics
    /// If that does not help.
    pub fn mount_again(&mut self, mode: Mode, options: &[&str]) {
        self.restart();
        let first = self.try_mount(mode, options);
        if first.status.success() {
            return;
        }
        first.refused(&["umount"]);
        Outcome::of(Command::new("umount").arg("-l").arg(&self.point)).success();
        wait_until("the end of the dead mount", || {
            mounts_under(&self.point).is_empty()
        });
        self.mount(mode, options);
    }

    /// The daemon that runs.
    ///
    /// # Panics
    /// If none does.
    pub fn daemon(&mut self) -> &mut Running {
        self.bed.daemon()
    }

    /// Process number of the daemon.
    ///
    /// # Panics
    /// If none runs.
    #[must_use]
    pub fn pid(&mut self) -> u32 {
        self.bed.daemon().pid()
    }

    /// The resident memory, in bytes, of the process that serves the mount.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn resident(&self) -> u64 {
        status_field(self.bed.mount_pid(), "VmRSS") << 10
    }

    fn watch(&mut self) {
        let pid = self.bed.daemon().pid();
        self.watchdog.watch(pid);
    }
}

/// Makes the kernel drop what it holds of a file, as far as that is clean.
///
/// # Panics
/// If the kernel refuses.
pub fn drop_page_cache(file: &File) {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed).expect("fadvise");
}

/// Kills a process if it is not stopped in time.
#[derive(Debug)]
struct Watchdog {
    pid: Arc<AtomicU32>,
    stop: Sender<()>,
}

impl Watchdog {
    fn start(directory: &Path) -> Watchdog {
        let directory = directory.to_owned();
        let pid = Arc::new(AtomicU32::new(0));
        let (stop, stopped) = channel();
        thread::spawn({
            let pid = Arc::clone(&pid);
            move || {
                if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    let pid = pid.load(Ordering::SeqCst);
                    eprintln!("the test hangs: killing the daemon, process {pid}");
                    if pid != 0 {
                        // First, or it would have the mount served again.
                        try_signal(pid, libc::SIGKILL);
                        for pid in processes_with(&directory) {
                            try_signal(pid, libc::SIGKILL);
                        }
                    }
                }
            }
        });
        Watchdog { pid, stop }
    }

    fn watch(&self, pid: u32) {
        self.pid.store(pid, Ordering::SeqCst);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // If the thread has ended already, there is nothing to stop.
        let _ = self.stop.send(());
    }
}
