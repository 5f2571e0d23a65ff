//! A program in a cgroup, on whose behalf we act: it gets our signals, we get its exit status.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::signals::{Arrived, Signals};

/// The signals that are passed on to the program, and SIGCHLD.
pub(crate) const PASSED_ON: [i32; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGCHLD,
];

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// There is no such program.
    #[error("{program:?}: command not found")]
    NotFound {
        /// As the user wrote it.
        program: OsString,
    },
    /// It is there and can't be executed.
    #[error("{program:?}: cannot execute: {source}")]
    NotExecutable {
        /// As the user wrote it.
        program: OsString,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The new process could not enter its cgroup.
    #[error("cannot move a process into the cgroup: {0}; run as root, or inside a delegated group")]
    Cgroup(io::Error),
    /// No process, pipe or memory left.
    #[error("cannot start a process: {0}")]
    System(io::Error),
}

/// Starts `command` in the cgroup whose `cgroup.procs` is `entrance` (`None`: in our own), with the
/// signal mask that `signals` replaced.
///
/// # Errors
/// [`SpawnError`] says which step failed.
pub(crate) fn spawn(
    command: &mut Command,
    entrance: Option<File>,
    signals: &Signals,
) -> Result<Child, SpawnError> {
    // A child that can't enter the group says so through a pipe: `Command::spawn` gives only an
    // error number, which could be that of exec.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|e| SpawnError::System(e.into()))?;
    let mask = signals.mask_before();
    // SAFETY: between fork and exec the closure calls only write(2) and sigprocmask(2), both
    // async-signal-safe, on descriptors and a mask that it owns; it allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if let Some(entrance) = &entrance
                && let Err(error) = rustix::io::write(entrance, b"0")
            {
                let _ = rustix::io::write(&writer, &[1]);
                return Err(error.into());
            }
            if libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn().map_err(|source| {
        if rustix::io::read(&reader, &mut [0u8; 1]) == Ok(1) {
            return SpawnError::Cgroup(source);
        }
        let program = command.get_program().to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT) => SpawnError::NotFound { program },
            Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
                SpawnError::System(source)
            }
            _ => SpawnError::NotExecutable { program, source },
        }
    })
}

/// Waits for the program's end, passing signals on, and calls `tick` at least every `period`.
///
/// Signals that the terminal sends to the whole process group are not sent to the program a second
/// time. When the program is stopped we stop too, so that the shell sees its job stop, and when we
/// are continued it is continued.
///
/// # Errors
/// Those of poll(2), read(2) and waitpid(2), none of which is expected.
pub(crate) fn supervise(
    child: &Child,
    signals: &Signals,
    period: Duration,
    mut tick: impl FnMut(),
) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(child);
    let timeout = Timespec::try_from(period).map_err(io::Error::other)?;
    loop {
        match poll(
            &mut [PollFd::new(&signals.as_fd(), PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(arrived) = signals.next()? {
            if arrived.signal == libc::SIGCHLD {
                if let Some(status) = reap(pid)? {
                    return Ok(status);
                }
            } else {
                pass_on(pid, arrived);
            }
        }
        tick();
    }
}

/// Collects what happened to the program: its end, or that it was stopped.
fn reap(pid: Pid) -> io::Result<Option<ExitStatus>> {
    let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
    while let Some((_, status)) = waitpid(Some(pid), options)? {
        if status.stopped() {
            kill_process(rustix::process::getpid(), Signal::STOP)?;
            // We run again, so somebody sent SIGCONT: to us alone perhaps.
            kill_process(pid, Signal::CONT)?;
        } else {
            return Ok(Some(ExitStatus::from_raw(status.as_raw())));
        }
    }
    Ok(None)
}

fn pass_on(pid: Pid, arrived: Arrived) {
    if arrived.from_kernel {
        return;
    }
    if let Some(signal) = Signal::from_named_raw(arrived.signal) {
        // It may have ended just now; its SIGCHLD follows.
        let _ = kill_process(pid, signal);
    }
}

/// The exit status that stands for how a program ended: its own, or 128 + the signal's number.
#[must_use]
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

/// The name of a signal, as in "killed by SIGKILL"; its number if it has none.
#[must_use]
pub(crate) fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 13] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    match NAMES.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("signal {signal}"),
    }
}

/// Builds the command of a program and its arguments.
#[must_use]
pub(crate) fn command(words: &[OsString]) -> Command {
    let (program, arguments) = match words.split_first() {
        Some((program, arguments)) => (program.as_os_str(), arguments),
        None => (OsStr::new(""), &[][..]),
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
