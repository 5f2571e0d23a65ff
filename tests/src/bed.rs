//! A private daemon, and the programs that speak to it.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use compcache_device::DeviceStatus;
use compcache_engine::stats::Stats;
use compcached::Client;
use compcached::protocol::{DaemonStatus, Request, Response};
use compcached::types::ParamsUpdate;
use tempfile::TempDir;

use crate::binaries::binary;
use crate::cgroup::{self, Cgroup};
use crate::machine::{Machine, loops_under, mounts_under, processes_with};
use crate::outcome::{Outcome, Running, try_signal};
use compcache_test_support::{open_directory, until, until_or, wait_until};

/// How long a daemon may take to end when the test is over.
const PATIENCE: Duration = Duration::from_secs(120);
/// A user without rights: `nobody`.
pub const NOBODY: u32 = 65534;

/// A runtime and a device directory of the test's own, and the daemon that serves there once it is
/// started. All of it is taken down when this is dropped, with swap first.
#[derive(Debug)]
pub struct Bed {
    daemon: Option<Running>,
    directory: TempDir,
    _machine: Option<Machine>,
}

impl Bed {
    /// A bed without a daemon; `None`, after saying so, if this machine can't have one.
    ///
    /// # Panics
    /// As [`Machine::take`].
    #[must_use]
    pub fn new() -> Option<Bed> {
        let machine = Machine::take()?;
        Some(Self::on(Some(machine)))
    }

    /// A bed for programs that touch nothing of the machine: needs no root, and waits for no other
    /// test.
    ///
    /// # Panics
    /// If there can be no temporary directory.
    #[must_use]
    pub fn without_root() -> Bed {
        Self::on(None)
    }

    fn on(machine: Option<Machine>) -> Bed {
        let directory = open_directory();
        fs::create_dir(directory.path().join("dev")).expect("a new directory");
        Bed {
            daemon: None,
            directory,
            _machine: machine,
        }
    }

    /// A bed whose daemon serves `devices` devices.
    ///
    /// # Panics
    /// If the daemon does not start.
    #[must_use]
    pub fn with_devices(devices: u32) -> Option<Bed> {
        let mut bed = Bed::new()?;
        bed.start(&["--num-devices", &devices.to_string()]);
        Some(bed)
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start(&mut self, arguments: &[&str]) {
        let mut command = self.command("compcached");
        self.start_by(command.args(arguments));
    }

    /// As [`Bed::start`], in a cgroup.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start_in(&mut self, group: &Cgroup, arguments: &[&str]) {
        let mut command = group.command(&binary("compcached"));
        self.set_environment(&mut command);
        self.start_by(command.args(arguments));
    }

    /// As [`Bed::start`], by a command that becomes the daemon.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start_by(&mut self, command: &mut Command) {
        assert!(self.daemon.is_none(), "a daemon runs already");
        let daemon = Running::start(command);
        self.daemon = Some(daemon);
        until("the daemon's answer", || {
            if let Some(daemon) = &mut self.daemon
                && daemon.has_ended()
            {
                panic!("the daemon does not start: {}", daemon.stderr());
            }
            let runtime_dir = self.runtime_dir();
            // It listens before it has cleaned up after others and set up: only an answer says that it is up.
            Client::connect_now(&runtime_dir)
                .and_then(|client| client.greeted(&runtime_dir))
                .ok()
        });
    }

    /// The daemon that [`Bed::start`] started.
    ///
    /// # Panics
    /// If none was.
    pub fn daemon(&mut self) -> &mut Running {
        self.daemon.as_mut().expect("a daemon")
    }

    /// As [`Bed::daemon`], for the test to see its end. The bed has none then.
    ///
    /// # Panics
    /// If none was started.
    pub fn take_daemon(&mut self) -> Running {
        self.daemon.take().expect("a daemon")
    }

    /// Ends the daemon that was started by SIGTERM.
    ///
    /// # Panics
    /// If there is none, or it fails.
    #[track_caller]
    pub fn stop(&mut self) {
        let daemon = self.take_daemon();
        daemon.signal(libc::SIGTERM);
        daemon.finish().success();
    }

    /// Writes a configuration file for the daemon's `--config`, and gives its path.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn config(&self, content: impl AsRef<[u8]>) -> String {
        let path = self.directory().join("compcache.toml");
        fs::write(&path, content).expect("a configuration file");
        path.into_os_string().into_string().expect("UTF-8")
    }

    /// A directory for the test's files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the daemon has its socket.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.directory().join("run")
    }

    /// Where device nodes appear.
    #[must_use]
    pub fn dev_dir(&self) -> PathBuf {
        self.directory().join("dev")
    }

    /// The node of a device.
    #[must_use]
    pub fn node(&self, number: u32) -> PathBuf {
        self.dev_dir().join(format!("ramzswap{number}"))
    }

    /// The command that runs one of our programs on this bed.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(binary(program));
        self.set_environment(&mut command);
        command
    }

    /// Makes any program find this bed.
    pub fn set_environment(&self, command: &mut Command) {
        command
            .env("COMPCACHE_RUNTIME_DIR", self.runtime_dir())
            .env("COMPCACHE_DEV_DIR", self.dev_dir())
            .env_remove("NOTIFY_SOCKET");
    }

    /// Runs `rzscontrol` on this bed.
    #[must_use]
    pub fn rzscontrol(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command("rzscontrol").args(arguments))
    }

    /// Runs `compcache` on this bed.
    #[must_use]
    pub fn compcache(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command("compcache").args(arguments))
    }

    /// A copy of one of our programs that everybody may run, in the bed's directory.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn copy_of(&self, program: &str) -> PathBuf {
        let copy = self.directory().join(program);
        if !copy.exists() {
            fs::copy(binary(program), &copy).expect("a copy of the program");
            let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&copy, everybody).expect("its mode");
        }
        copy
    }

    /// Runs one of our programs on this bed as the user [`NOBODY`].
    ///
    /// # Panics
    /// As [`Bed::copy_of`] and [`Outcome::of`].
    #[must_use]
    pub fn as_nobody(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .arg("--clear-groups")
            .arg(self.copy_of(program))
            .args(arguments)
            .current_dir("/");
        self.set_environment(&mut command);
        Outcome::of(&mut command)
    }

    /// Initialises device 0.
    ///
    /// # Panics
    /// If the daemon refuses.
    #[track_caller]
    pub fn init(&self, params: ParamsUpdate) {
        self.request(&Request::Configure {
            device: 0,
            params,
            init: true,
        });
    }

    /// Initialises device 0 with a disk of this size in bytes.
    ///
    /// # Panics
    /// As [`Bed::init`].
    #[track_caller]
    pub fn init_sized(&self, disksize: u64) {
        self.init(ParamsUpdate {
            disksize: Some(disksize),
            ..ParamsUpdate::default()
        });
    }

    /// Initialises a device if it is not, and swaps it on.
    ///
    /// # Panics
    /// If the daemon refuses.
    #[track_caller]
    pub fn swap_on(&self, device: u32, params: ParamsUpdate) {
        let request = Request::SwapOn {
            device: Some(device),
            params,
            priority: None,
        };
        let response = self.request(&request);
        assert!(
            matches!(response, Response::SwappedOn { .. }),
            "{response:?}"
        );
    }

    /// Asks the daemon something over its socket.
    ///
    /// # Panics
    /// If it refuses.
    #[track_caller]
    pub fn request(&self, request: &Request) -> Response {
        self.client()
            .request(request)
            .unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// A connection to the daemon.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(&self.runtime_dir()).expect("a daemon")
    }

    /// The daemon's state and that of all its devices.
    ///
    /// # Panics
    /// If the daemon does not answer.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> (DaemonStatus, Vec<DeviceStatus>) {
        match self.request(&Request::Status { device: None }) {
            Response::Status { daemon, devices } => (daemon, devices),
            other => panic!("{other:?}"),
        }
    }

    /// The process that serves the daemon's mounts.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    #[must_use]
    pub fn mount_pid(&self) -> u32 {
        let (daemon, _) = self.status();
        daemon.mount_pid.expect("a process that serves mounts")
    }

    /// Sends a signal to that process, and gives its process id.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn signal_mounts(&self, signal: i32) -> u32 {
        let pid = self.mount_pid();
        assert!(try_signal(pid, signal), "signal {signal} to {pid}");
        pid
    }

    /// The state of one device.
    ///
    /// # Panics
    /// If the daemon does not answer.
    #[track_caller]
    #[must_use]
    pub fn device(&self, number: u32) -> DeviceStatus {
        let (_, devices) = self.status();
        devices
            .into_iter()
            .find(|device| device.number == number)
            .expect("a device")
    }

    /// The files of devices that are there now: none if all were given back.
    #[must_use]
    pub fn devices_left(&self) -> Vec<PathBuf> {
        let directories = [self.runtime_dir(), self.dev_dir()].into_iter();
        let entries = directories.filter_map(|directory| fs::read_dir(directory).ok());
        entries
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.file_name().as_bytes().starts_with(b"ramzswap"))
            .map(|entry| entry.path())
            .collect()
    }

    /// Asserts that nothing of this bed is left: no process, no swap, no loop device, no mount.
    ///
    /// # Panics
    /// If something is.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let directory = self.directory();
        wait_until("the end of every process", || {
            processes_with(directory).is_empty()
        });
        assert_eq!(loops_under(directory), Vec::<PathBuf>::new());
        assert_eq!(mounts_under(directory), Vec::<PathBuf>::new());
        let entries = |directory| fs::read_dir(directory).into_iter().flatten().flatten();
        let left: Vec<_> = entries(self.dev_dir())
            .chain(entries(self.runtime_dir()))
            .map(|entry| entry.path())
            // A daemon leaves its lock, and one that `compcache` started its log.
            .filter(|path| {
                path.extension()
                    .is_none_or(|end| end != "lock" && end != "log")
            })
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        // Other programs' groups may be between the death of their maker and their removal.
        wait_until("no cgroup to be left", || cgroup::left_behind().is_empty());
    }
}

/// What a device has done, as its store counts it.
#[must_use]
pub fn stats(bed: &Bed, number: u32) -> Stats {
    bed.device(number).stats.store
}

impl Drop for Bed {
    fn drop(&mut self) {
        let directory = self.directory.path().to_owned();
        for device in loops_under(&directory) {
            if compcache_device::swap::find(&device).is_ok_and(|entry| entry.is_some()) {
                // If it fails the daemon stays, which the next lines show.
                let _ = compcache_device::swap::off(&device);
            }
        }
        // The daemon that was started here, and those that `compcache` started.
        for pid in processes_with(&directory) {
            // One that was stopped could not even end.
            try_signal(pid, libc::SIGCONT);
            try_signal(pid, libc::SIGTERM);
        }
        if let Some(daemon) = &mut self.daemon
            && (daemon.wait(PATIENCE).is_none() || std::thread::panicking())
        {
            eprintln!("the daemon's log:\n{}", daemon.stderr());
        }
        let ended = until_or(PATIENCE, &mut || {
            processes_with(&directory).is_empty().then_some(())
        });
        if ended.is_none() {
            eprintln!("still running: {:?}", processes_with(&directory));
        }
        for device in loops_under(&directory) {
            let _ = Command::new("losetup").arg("--detach").arg(device).status();
        }
        for mount in mounts_under(&directory).into_iter().rev() {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}
