//! A program that needs more memory than its cgroup allows.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use crate::PAGE;
use crate::binaries::test_program;
use crate::cgroup::Cgroup;
use crate::content::Kind;
use compcache_test_support::DEADLINE;

/// A running `compcache-test-hog`. It is killed when this is dropped.
#[derive(Debug)]
pub struct Hog {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Hog {
    /// Starts a hog with `bytes` of memory in `group`; it takes them with [`Hog::fill`]. The
    /// `seed` makes its content another than that of other hogs.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(group: &Cgroup, kind: Kind, bytes: u64, seed: u64) -> Hog {
        let mut child = group
            .command(&test_program("compcache-test-hog"))
            .args([kind.name(), &(bytes / PAGE).to_string(), &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a hog");
        let input = child.stdin.take().expect("its standard input");
        let output = BufReader::new(child.stdout.take().expect("its standard output"));
        let (send, answers) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Hog {
            child,
            input,
            answers,
        }
    }

    /// Writes every page.
    ///
    /// # Panics
    /// If it dies or takes longer than [`DEADLINE`], as with the other commands.
    #[track_caller]
    pub fn fill(&mut self) {
        self.send("fill");
    }

    /// Checks every page and writes its next version.
    ///
    /// # Panics
    /// If a page is not what it should be.
    #[track_caller]
    pub fn change(&mut self) {
        self.send("change");
    }

    /// As [`Hog::change`], but in an order that jumps through memory.
    ///
    /// # Panics
    /// If a page is not what it should be.
    #[track_caller]
    pub fn change_at_random(&mut self) {
        self.send("random");
    }

    /// Checks every page.
    ///
    /// # Panics
    /// If a page is not what it should be.
    #[track_caller]
    pub fn verify(&mut self) {
        self.send("verify");
    }

    /// Gives a command; gives its answer, or how the hog ended instead.
    ///
    /// # Panics
    /// If it neither answers nor ends within [`DEADLINE`].
    #[track_caller]
    pub fn command(&mut self, command: &str) -> String {
        // If it has died, the answer says so.
        let _ = writeln!(self.input, "{command}");
        match self.answers.recv_timeout(DEADLINE) {
            Ok(answer) => answer,
            // It has closed its output, and is ending.
            Err(RecvTimeoutError::Disconnected) => {
                format!("ended: {}", self.child.wait().expect("waitpid"))
            }
            Err(RecvTimeoutError::Timeout) => panic!("the hog does not answer"),
        }
    }

    #[track_caller]
    fn send(&mut self, command: &str) {
        let answer = self.command(command);
        assert_eq!(answer, "ok", "the hog's answer to {command}");
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // Both do nothing if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
