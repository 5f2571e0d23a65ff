//! A daemon in directories of its own, and what tests ask of it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};

use compcache_test_needs as needs;
use compcached::Client;
use compcached::protocol::{Request, Response};
use compcached::types::DeviceStatus;
use rustix::process::{Pid, Signal, kill_process};

/// Where the test program finds the runtime directory when it plays a client.
pub(crate) const PLAY: &str = "COMPCACHED_TEST_PLAY";
/// A user without rights: `nobody`.
pub(crate) const NOBODY: u32 = 65534;

/// Tests change the system's swap: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The right to run a test that needs root; `None`, with a word about it, if there is none.
pub(crate) fn root() -> Option<MutexGuard<'static, ()>> {
    if !needs::root() {
        return None;
    }
    Some(
        ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()),
    )
}

/// Directories for a daemon. Others may look into them, so that users without rights get as
/// far as the socket.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open.clone()).unwrap();
        fs::create_dir(dir.path().join("dev")).unwrap();
        let place = Place { dir };
        fs::write(place.config(), "").unwrap();
        place
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn dev(&self) -> PathBuf {
        self.dir.path().join("dev")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("compcache.toml")
    }

    pub(crate) fn node(&self, number: u32) -> PathBuf {
        self.dev().join(format!("ramzswap{number}"))
    }

    /// A copy of a program that everybody may run.
    pub(crate) fn copy(&self, program: &Path) -> PathBuf {
        let copy = self.dir.path().join("program");
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }

    /// The daemon's command line; nothing of this machine's configuration comes in.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_compcached"));
        command
            .arg("--runtime-dir")
            .arg(self.runtime())
            .arg("--dev-dir")
            .arg(self.dev())
            .arg("--config")
            .arg(self.config())
            .args(args)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon, and waits until it answers.
    pub(crate) fn start(&self, args: &[&str]) -> Daemon {
        self.start_by(&mut self.command(args))
    }

    /// Starts a daemon by a command that becomes one, and waits until it answers.
    pub(crate) fn start_by(&self, command: &mut Command) -> Daemon {
        let child = Some(command.spawn().unwrap());
        let daemon = Daemon { child };
        drop(self.client());
        daemon
    }

    /// Starts a daemon.
    pub(crate) fn spawn(&self, args: &[&str]) -> Daemon {
        let child = self.command(args).spawn().unwrap();
        Daemon { child: Some(child) }
    }

    /// Runs a daemon that is to refuse to start; gives its exit status and its message.
    pub(crate) fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(args).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), message)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.runtime()).unwrap()
    }

    /// Starts this test program in the role of a client, as user and group `id`.
    pub(crate) fn play(&self, role: &str, id: u32) -> Child {
        Command::new(self.copy(&std::env::current_exe().unwrap()))
            .args(["--exact", role, "--nocapture", "--test-threads=1"])
            .env(PLAY, self.runtime())
            .current_dir("/")
            .uid(id)
            .gid(id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Asserts that nothing is left of a daemon but its lock.
    pub(crate) fn assert_clean(&self) {
        let left = |dir: PathBuf| -> Vec<String> {
            let Ok(entries) = fs::read_dir(dir) else {
                return Vec::new();
            };
            entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let mut in_runtime = left(self.runtime());
        in_runtime.retain(|name| name != "compcached.lock");
        assert!(
            in_runtime.is_empty(),
            "left in the runtime directory: {in_runtime:?}"
        );
        assert_eq!(left(self.dev()), [""; 0], "left in the device directory");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = self.runtime().display().to_string();
        assert!(!mounts.contains(&ours), "a mount was left");
    }
}

/// A running daemon; it is ended, not killed, when this is dropped: it may be swapped on.
pub(crate) struct Daemon {
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.take().unwrap().wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
        }
    }
}

pub(crate) fn status(client: &mut Client, number: u32) -> DeviceStatus {
    match client
        .request(&Request::Status {
            device: Some(number),
        })
        .unwrap()
    {
        Response::Status { mut devices, .. } => devices.remove(0),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn done(client: &mut Client, request: &Request) {
    match client.request(request).unwrap() {
        Response::Done { .. } => {}
        other => panic!("{request:?}: {other:?}"),
    }
}

/// Reads a line of a child's output that begins with `word`.
pub(crate) fn wait_for_word(child: &mut Child, word: &str) -> String {
    let out = child.stdout.as_mut().unwrap();
    let mut line = String::new();
    loop {
        let mut byte = [0];
        assert_eq!(
            out.read(&mut byte).unwrap(),
            1,
            "the child ended; last: {line}"
        );
        match byte[0] {
            b'\n' if line.contains(word) => return line,
            b'\n' => line.clear(),
            byte => line.push(char::from(byte)),
        }
    }
}
