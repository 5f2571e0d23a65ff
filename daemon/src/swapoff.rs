//! Swap-off in a process of its own.
//!
//! While a process is in `swapoff(2)`, the kernel's OOM killer takes it before any other
//! (`set_current_oom_origin` in `mm/swapfile.c`), whatever its `oom_score_adj` says. The daemon
//! must not be that process: it holds the pages. So it calls its own program once more, which
//! may be killed: the swap-off then fails, and every page is still where it was.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use compcache_device::swap;

/// The program that calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The daemon, `compcached` or `compcache daemon`.
    Daemon,
    /// Another command of `compcache`.
    Command,
}

/// Calls `swapoff(2)` for a block device in a child process of `program`, and waits for it.
///
/// # Errors
/// What `swapoff(2)` said; `ENOMEM` even if the child was killed for lack of memory, `EINTR`
/// if another signal ended it.
pub fn in_child(program: Program, block_device: &Path) -> io::Result<()> {
    // The link leads to this program even if its file was replaced since.
    let mut command = Command::new("/proc/self/exe");
    if is_subcommand(program, std::env::args_os().nth(1).as_deref()) {
        command.arg("daemon");
    }
    command
        .arg("--swapoff")
        .arg(block_device)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if program == Program::Daemon {
        // Ctrl-C in the daemon's terminal must not interrupt it. In that of a command it does, as
        // it does with swapoff(8).
        command.process_group(0);
    }
    let status = command.status()?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(errno), _) => Err(io::Error::from_raw_os_error(errno)),
        (None, Some(libc::SIGKILL)) => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        (None, _) => Err(io::Error::from_raw_os_error(libc::EINTR)),
    }
}

/// Whether `daemon` must stand before the daemon's options on this program's command line: in
/// `compcache`, whose other commands have other options, but not in `compcached`.
fn is_subcommand(program: Program, first: Option<&OsStr>) -> bool {
    program == Program::Command || first.is_some_and(|word| word == "daemon")
}

/// The child: swaps off `block_device`; the exit status is 0 or the errno value.
pub fn child(block_device: &Path) -> ExitCode {
    // Inherited from the daemon, if they are needed. Here they would forbid the kernel to
    // swap out to other areas while it brings pages in, and to free the memory of this process.
    // If they were never allowed they are not set.
    let _ = rustix::process::configure_io_flusher_behavior(false);
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    match swap::off(block_device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let errno = e
                .raw_os_error()
                .and_then(|n| u8::try_from(n).ok())
                .filter(|n| *n != 0);
            ExitCode::from(errno.unwrap_or(libc::EIO as u8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subcommand_is_kept() {
        let daemon = |first: Option<&str>| is_subcommand(Program::Daemon, first.map(OsStr::new));
        assert!(daemon(Some("daemon")));
        assert!(!daemon(Some("--num-devices")));
        assert!(!daemon(None));
        assert!(is_subcommand(Program::Command, Some(OsStr::new("swap"))));
    }
}
