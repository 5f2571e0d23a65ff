//! The demo's program as a child process, from its start to its end.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::child;
use crate::error::CliError;
use crate::hog::Report;
use crate::signals::Signals;

/// How the program ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    /// Every page held what was written to it.
    Verified { pages: u64, seconds: f64 },
    /// A page did not.
    Bad { page: u64 },
    /// This signal asked us to stop, and we ended it.
    Interrupted(i32),
    /// It ended without telling a result: how, in words.
    Died(String),
}

/// Runs the program with `bytes` of memory and gives each line that it writes to `on_report`.
/// When this returns the program has ended, and its memory is free.
pub(super) fn run(
    bytes: u64,
    seed: u64,
    entrance: Option<File>,
    signals: &Signals,
    on_report: &mut dyn FnMut(&Report),
) -> Result<Ended, CliError> {
    let program = std::env::current_exe()
        .map_err(|e| CliError::io("cannot find the path of this program", e))?;
    let mut command = Command::new(program);
    command
        .args([
            "hog",
            "--size",
            &bytes.to_string(),
            "--seed",
            &seed.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // SAFETY: the closure makes one prctl(2) call, which is async-signal-safe.
    unsafe {
        // Even if we are killed it must not stay behind with its pages on the device.
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let mut process = Process(child::spawn(&mut command, entrance, signals)?);
    let failed = |e| CliError::io("cannot watch the demo's program", e);
    let mut lines = Lines::new(process.0.stdout.take()).map_err(failed)?;
    let mut result = None;
    loop {
        if let Some(signal) = interrupted(signals).map_err(failed)? {
            return Ok(Ended::Interrupted(signal));
        }
        wait(signals, lines.pipe.as_ref()).map_err(failed)?;
        let open = lines.read(&mut |report| {
            match report {
                Report::Done { pages, seconds } => {
                    result = Some(Ended::Verified {
                        pages: *pages,
                        seconds: *seconds,
                    });
                }
                Report::Bad { page } => result = Some(Ended::Bad { page: *page }),
                Report::Progress { .. } => {}
            }
            on_report(report);
        });
        if !open.map_err(failed)? {
            let status = process.0.wait().map_err(failed)?;
            // A key on the terminal ends the program and tells us, in any order.
            if let Some(signal) = interrupted(signals).map_err(failed)? {
                return Ok(Ended::Interrupted(signal));
            }
            return Ok(result.unwrap_or_else(|| Ended::Died(describe(status))));
        }
    }
}

/// Kills the program when dropped, and waits for its end.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both do nothing if it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("killed by {}", child::signal_name(signal)),
        None => status.to_string(),
    }
}

/// The signal that tells us to stop, if one has arrived.
fn interrupted(signals: &Signals) -> io::Result<Option<i32>> {
    while let Some(arrived) = signals.next()? {
        if arrived.signal != libc::SIGCHLD {
            return Ok(Some(arrived.signal));
        }
    }
    Ok(None)
}

/// Waits for a signal or a line.
fn wait(signals: &Signals, pipe: Option<&ChildStdout>) -> io::Result<()> {
    let signals = signals.as_fd();
    let mut watched = vec![PollFd::new(&signals, PollFlags::IN)];
    watched.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    match poll(&mut watched, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads the program's lines as they come.
struct Lines {
    pipe: Option<ChildStdout>,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(pipe: Option<ChildStdout>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Lines {
            pipe,
            buffer: Vec::new(),
        })
    }

    /// Reads what is there. Gives whether more can come.
    fn read(&mut self, on_report: &mut dyn FnMut(&Report)) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else {
            return Ok(false);
        };
        let mut chunk = [0; 4096];
        let open = loop {
            match rustix::io::read(pipe, &mut chunk) {
                Ok(0) => break false,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => break true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            on_report(&serde_json::from_slice(&line)?);
        }
        Ok(open)
    }
}
