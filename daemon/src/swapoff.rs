//! Swap-off in a process of its own.
//!
//! While a process is in `swapoff(2)`, the kernel's OOM killer takes it before any other
//! (`set_current_oom_origin` in `mm/swapfile.c`), whatever its `oom_score_adj` says. The daemon
//! must not be that process: it holds the pages. So it calls its own program once more, which
//! may be killed: the swap-off then fails, and every page is still where it was.
//!
//! The child also looks whether the pages fit back, which goes over all cgroups, of users too: if
//! they manage to break it, the swap-off is refused, and nothing else.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use compcache_device::swap;
use compcache_device::swapoff::{self, SwapoffError};

pub use crate::own_program::Program;

/// Exit status of a child that has found no room. Its message is on standard output; numbers of
/// errors are smaller.
const NO_ROOM: u8 = 254;
/// Exit status of a child that can't determine whether there is room.
const UNCHECKED: u8 = 253;
/// Most bytes of a child's message.
const MESSAGE: u64 = 8 << 10;

/// Whether the pages of a device that is swapped off come back into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// They do: the kernel is asked only if it would kill no program for them.
    Needed,
    /// Nobody serves the device any more: they can't be read.
    NotNeeded,
}

/// Swaps off a block device in a child process of `program`, and waits for it: by [`swapoff::checked`] if
/// its pages need room.
///
/// # Errors
/// Those of [`swapoff::checked`]; `ENOMEM` even if the child was killed for lack of memory,
/// `EINTR` if another signal ended it.
pub fn in_child(program: Program, block_device: &Path, room: Room) -> Result<(), SwapoffError> {
    let mut command = program.again();
    command
        .arg("--swapoff")
        .arg(block_device)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if room == Room::NotNeeded {
        command.arg("--lost");
    }
    if program == Program::Daemon {
        // Ctrl-C in the daemon's terminal must not interrupt it. In that of a command it does, as
        // it does with swapoff(8).
        command.process_group(0);
    }
    let mut child = command.spawn()?;
    let mut message = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(MESSAGE).read_to_end(&mut message),
        None => Ok(0),
    };
    let status = child.wait()?;
    read?;
    let message = || String::from_utf8_lossy(&message).into_owned();
    let errno = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) if code == i32::from(NO_ROOM) => {
            return Err(SwapoffError::NoRoom(message()));
        }
        (Some(code), _) if code == i32::from(UNCHECKED) => {
            return Err(SwapoffError::Unchecked(message()));
        }
        (Some(errno), _) => errno,
        (None, Some(libc::SIGKILL)) => libc::ENOMEM,
        (None, _) => libc::EINTR,
    };
    Err(io::Error::from_raw_os_error(errno).into())
}

/// The child: swaps off `block_device`; the exit status is 0, the errno value, or that of a
/// message on standard output.
pub fn child(block_device: &Path, room: Room) -> ExitCode {
    // Inherited from the daemon, if they are needed. Here they would forbid the kernel to
    // swap out to other areas while it brings pages in, and to free the memory of this process.
    // If they were never allowed they are not set.
    let _ = rustix::process::configure_io_flusher_behavior(false);
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let done = match room {
        Room::Needed => swapoff::checked(block_device),
        Room::NotNeeded => swap::off(block_device).map_err(SwapoffError::from),
    };
    let (status, message) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(SwapoffError::NoRoom(message)) => (NO_ROOM, message),
        Err(SwapoffError::Unchecked(message)) => (UNCHECKED, message),
        Err(SwapoffError::System(e)) => {
            let errno = e
                .raw_os_error()
                .and_then(|n| u8::try_from(n).ok())
                .filter(|n| *n != 0);
            return ExitCode::from(errno.unwrap_or(libc::EIO as u8));
        }
    };
    // Without a reader the status says it.
    let _ = io::stdout().write_all(message.as_bytes());
    ExitCode::from(status)
}
