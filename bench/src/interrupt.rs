//! Ctrl-C and SIGTERM: noted, so that what was set up is taken down in order.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static CAUGHT: OnceLock<Caught> = OnceLock::new();

struct Caught {
    flag: Arc<AtomicBool>,
    /// Becomes readable with the first signal, and stays so.
    pipe: File,
}

/// Catches the signals from now on.
///
/// # Errors
/// Where the system has no descriptors left.
pub(crate) fn catch() -> Result<()> {
    let flag = Arc::new(AtomicBool::new(false));
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("no pipe for signals")?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let caught = Caught {
        flag,
        pipe: reader.into(),
    };
    if CAUGHT.set(caught).is_err() {
        bail!("signals are caught already");
    }
    Ok(())
}

/// Whether to go on.
///
/// # Errors
/// After a signal.
pub(crate) fn check() -> Result<()> {
    match CAUGHT.get() {
        Some(caught) if caught.flag.load(Ordering::Relaxed) => bail!("interrupted"),
        _ => Ok(()),
    }
}

/// Waits for so long, or for a signal.
///
/// # Errors
/// After a signal.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let left = Timespec::try_from(left)?;
        let pipe = descriptor();
        let mut descriptors: Vec<_> = pipe
            .iter()
            .map(|pipe| PollFd::new(pipe, PollFlags::IN))
            .collect();
        match poll(&mut descriptors, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A descriptor that becomes readable with a signal, for poll(2); `None` before [`catch`].
pub(crate) fn descriptor() -> Option<BorrowedFd<'static>> {
    CAUGHT.get().map(|caught| caught.pipe.as_fd())
}
