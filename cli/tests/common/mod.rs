//! What the tests of the programs share.
#![allow(dead_code, reason = "not every test program uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use compcache_test_needs as needs;
use tempfile::TempDir;

/// Tests with real swap or mounts run one after the other: together they would take each other's
/// time.
static TURN: Mutex<()> = Mutex::new(());

/// The test's turn, or `None` if this user can't run it.
pub(crate) fn turn() -> Option<MutexGuard<'static, ()>> {
    needs::root().then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A runtime directory and a directory of device nodes of a test's own.
pub(crate) struct Places {
    root: TempDir,
}

impl Places {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("run")).unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        Places { root }
    }

    /// The directory that holds both, and what else a test makes.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.root.path().join("run")
    }

    pub(crate) fn dev_dir(&self) -> PathBuf {
        self.root.path().join("dev")
    }

    /// A device's node.
    pub(crate) fn node(&self, number: u32) -> String {
        self.dev_dir()
            .join(format!("ramzswap{number}"))
            .display()
            .to_string()
    }

    pub(crate) fn compcache(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_compcache"), args)
    }

    pub(crate) fn rzscontrol(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_rzscontrol"), args)
    }

    /// A program that finds the daemon of these places.
    pub(crate) fn program(&self, program: &str, args: &[&str]) -> Command {
        self.command(program, args)
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("COMPCACHE_RUNTIME_DIR", self.runtime_dir())
            .env("COMPCACHE_DEV_DIR", self.dev_dir());
        command
    }

    /// The files of devices that are there now: none, if everything was taken down.
    pub(crate) fn devices_left(&self) -> Vec<String> {
        [self.runtime_dir(), self.dev_dir()]
            .iter()
            .flat_map(|directory| names(directory))
            .filter(|name| name.starts_with("ramzswap"))
            .collect()
    }
}

impl Drop for Places {
    /// Gives back what a test that failed has left: its daemon could not be reached any more.
    fn drop(&mut self) {
        if !self.devices_left().is_empty() {
            let _ = self.compcache(&["swap", "off"]).output();
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Exit status, standard output and standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
