//! Who asks, and making files in their name.

use std::cell::Cell;
use std::io;

use fuser::Request;
use rustix::thread::UnshareFlags;

use crate::identity::{Acting, Caller};

thread_local! {
    /// The thread has its own umask, and this is it.
    static UMASK: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The program that `request` comes from.
pub(super) fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

/// Makes the thread make files in the name of `caller`, with that umask.
///
/// # Errors
/// If the thread can't have its own umask, and those of [`Caller::act`].
pub(super) fn make_as(caller: Caller, umask: u32) -> io::Result<Acting> {
    set_umask(umask)?;
    caller.act()
}

fn set_umask(umask: u32) -> io::Result<()> {
    if UMASK.get().is_none() {
        // SAFETY: only the thread's own umask and working directory are parted from the other
        // threads'; no descriptor is.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
    }
    if UMASK.get() != Some(umask) {
        rustix::process::umask(rustix::fs::Mode::from_bits_retain(umask));
        UMASK.set(Some(umask));
    }
    Ok(())
}
