//! Programs that are run, and how they ended.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;

use compcache_host::proc;
use compcache_test_support::{DEADLINE, until_or, wait_until};

use crate::process::proc_file;

/// How a program ended and what it printed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Runs a program to its end, with no standard input unless that is set.
    ///
    /// # Panics
    /// If it does not start, or does not end within [`DEADLINE`].
    pub fn of(command: &mut Command) -> Outcome {
        Running::start(command.stdin(Stdio::null())).finish()
    }

    /// Asserts that it succeeded, and gives its standard output.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// Asserts that it failed with a status other than 0, not by a signal, and that it printed to
    /// standard error each of `words`.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert!(
            self.status.code().is_some_and(|code| code != 0),
            "should be refused: {self}"
        );
        assert!(!self.stderr.contains("panicked"), "{self}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "no {word:?} in the message: {self}"
            );
        }
    }

    /// The exit status as a shell has it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n--- stdout\n{}--- stderr\n{}---",
            self.command, self.status, self.stdout, self.stderr
        )
    }
}

/// A program on a terminal of its own, made by script(1), whose keys can be pressed.
#[derive(Debug)]
pub struct OnTerminal {
    /// script(1), whose status and output are the program's.
    pub running: Running,
    keys: ChildStdin,
}

impl OnTerminal {
    /// Starts a program on a new terminal.
    ///
    /// # Panics
    /// If it does not start, or an argument is not a plain word.
    pub fn start(program: &Path, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        // Not beside a shell, which the key would end.
        let mut line = format!("exec {}", program.to_str().expect("UTF-8"));
        for argument in arguments {
            assert!(!argument.contains('\''), "{argument}");
            line.push_str(&format!(" '{argument}'"));
        }
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--flush", "--return", "--command", &line])
            .arg("/dev/null")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped());
        prepare(&mut command);
        let mut running = Running::start(&mut command);
        let keys = running.child.stdin.take().expect("the terminal's keys");
        OnTerminal { running, keys }
    }

    /// Presses Ctrl-C.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn interrupt(&mut self) {
        self.keys.write_all(b"\x03").expect("the terminal");
    }
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    /// Starts a program, its output going to files that [`Running::finish`] reads.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(command: &mut Command) -> Running {
        let text = format!("{command:?}");
        let [stdout, stderr] = [(); 2].map(|()| NamedTempFile::new().expect("a temporary file"));
        let child = command
            .stdout(stdout.reopen().expect("a descriptor"))
            .stderr(stderr.reopen().expect("a descriptor"))
            .spawn()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        Running {
            child,
            command: text,
            stdout,
            stderr,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If the kernel does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waitpid").is_some()
    }

    /// The status with which it has exited, although threads of it may still wait in the kernel for what
    /// does not answer: until they return nobody can wait for it. `None` while it has not.
    ///
    /// # Panics
    /// If the kernel does not say.
    pub fn exited(&self) -> Option<i32> {
        let stat = proc_file(self.pid(), "stat");
        let mut fields = proc::stat_fields(&stat).expect("a name");
        let ended = fields.next() == Some(b"Z");
        let status = fields.last().and_then(proc::number).expect("a status");
        let status = ExitStatus::from_raw(i32::try_from(status).expect("a status"));
        ended.then(|| status.code().unwrap_or(-1))
    }

    /// What it has printed to standard output so far.
    ///
    /// # Panics
    /// If that can't be read.
    pub fn stdout(&self) -> String {
        content(&self.stdout)
    }

    /// What it has printed to standard error so far.
    ///
    /// # Panics
    /// If that can't be read.
    pub fn stderr(&self) -> String {
        content(&self.stderr)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn signal(&self, signal: i32) {
        assert!(
            try_signal(self.pid(), signal),
            "signal {signal} to {}",
            self.command
        );
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended after [`DEADLINE`].
    pub fn finish(mut self) -> Outcome {
        let status = self.wait(DEADLINE).unwrap_or_else(|| {
            let (out, err) = (self.stdout(), self.stderr());
            panic!(
                "{} does not end\n--- stdout\n{out}\n--- stderr\n{err}",
                self.command
            )
        });
        Outcome {
            command: self.command.clone(),
            status,
            stdout: content(&self.stdout),
            stderr: content(&self.stderr),
        }
    }

    /// Waits for its end; `None` if that takes longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        until_or(patience, &mut || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process; gives whether there is such a process. After SIGSTOP all of its threads are stopped.
pub(crate) fn try_signal(pid: u32, signal: i32) -> bool {
    // SAFETY: kill(2) touches no memory of ours.
    let sent = unsafe { libc::kill(pid.cast_signed(), signal) == 0 };
    if sent && signal == libc::SIGSTOP {
        wait_until("all threads to stop", || is_stopped(pid));
    }
    sent
}

/// Whether no thread of a process runs any more: each is stopped, or has ended.
fn is_stopped(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    tasks.flatten().all(|task| {
        let Ok(stat) = fs::read(task.path().join("stat")) else {
            return true;
        };
        // Behind the name, which may have parentheses of its own.
        let name_end = stat.iter().rposition(|byte| *byte == b')');
        let state = name_end.and_then(|end| stat.get(end + 2));
        matches!(state, Some(b'T' | b't' | b'Z' | b'X'))
    })
}

fn content(file: &NamedTempFile) -> String {
    let bytes = fs::read(file.path()).expect("the output");
    String::from_utf8_lossy(&bytes).into_owned()
}
