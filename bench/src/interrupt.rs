//! Ctrl-C and SIGTERM: noted, so that what was set up is taken down in order.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
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

pub(crate) fn catch() -> Result<()> {
    let flag = Arc::new(AtomicBool::new(false));
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("no pipe for signals")?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let pipe = reader.into();
    if CAUGHT.set(Caught { flag, pipe }).is_err() {
        bail!("signals are caught already");
    }
    Ok(())
}

/// Whether to go on. So cheap that loops may ask before each page.
pub(crate) fn check() -> Result<()> {
    match CAUGHT.get() {
        Some(caught) if caught.flag.load(Ordering::Relaxed) => bail!("interrupted"),
        _ => Ok(()),
    }
}

pub(crate) fn pause(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        wait(None, Some(left))?;
    }
}

/// Waits until a file can be read or has ended, and gives whether it is so: not if the `timeout` came
/// before.
pub(crate) fn wait(file: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> Result<bool> {
    let signal = CAUGHT.get().map(|caught| caught.pipe.as_fd());
    let files: Vec<BorrowedFd<'_>> = file.into_iter().chain(signal).collect();
    let mut waiting: Vec<PollFd<'_>> = files
        .iter()
        .map(|file| PollFd::new(file, PollFlags::IN))
        .collect();
    let timeout = timeout.map(Timespec::try_from).transpose()?;
    match poll(&mut waiting, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => check()?,
        Err(error) => return Err(error.into()),
    }
    Ok(file.is_some() && !waiting[0].revents().is_empty())
}
