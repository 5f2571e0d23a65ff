//! Making files in the name of the program that asks for it.
//!
//! The kernel has checked its permissions already, so that only the owner and the umask of what is
//! made matter: file system user and group, and umask, of the worker thread are switched for the
//! one call.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fuser::Request;
use rustix::thread::{CapabilitiesSecureBits, UnshareFlags, set_capabilities_secure_bits};

thread_local! {
    /// The thread has its own umask, and this is it.
    static UMASK: Cell<Option<u32>> = const { Cell::new(None) };
}

static WARNED: AtomicBool = AtomicBool::new(false);

/// The thread acts in a program's name until this is dropped.
#[derive(Debug)]
pub(super) struct AsCaller {
    switched: bool,
}

/// Makes the thread act in the name of `request`'s program. Where the mount does not belong to
/// root, programs are the same user's.
///
/// # Errors
/// Where the thread can't have its own umask.
pub(super) fn act_as(request: &Request, umask: u32, root: bool) -> io::Result<AsCaller> {
    set_umask(umask, root)?;
    let switched = root && (request.uid() != 0 || request.gid() != 0);
    if switched {
        // The group first: the user may be what allows it.
        set_fs_ids(request.uid(), request.gid());
    }
    Ok(AsCaller { switched })
}

impl Drop for AsCaller {
    fn drop(&mut self) {
        if self.switched {
            set_fs_ids(0, 0);
        }
    }
}

fn set_fs_ids(uid: u32, gid: u32) {
    // SAFETY: both calls take a number and change this thread only; they cannot fail for a thread
    // with CAP_SETUID and CAP_SETGID, and without them files are made as the daemon's user.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

fn set_umask(umask: u32, root: bool) -> io::Result<()> {
    if UMASK.get().is_none() {
        // SAFETY: only the thread's own umask and working directory are parted from the other
        // threads'; no descriptor is.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
        if root
            && let Err(e) = keep_capabilities()
            && !WARNED.swap(true, Relaxed)
        {
            tracing::warn!(
                "capabilities can't be kept while files are made for others ({e}): SOURCE checks \
                 their permissions by user and main group alone"
            );
        }
    }
    if UMASK.get() != Some(umask) {
        rustix::process::umask(rustix::fs::Mode::from_bits_retain(umask));
        UMASK.set(Some(umask));
    }
    Ok(())
}

/// Lets the thread keep its capabilities while it has another file system user.
fn keep_capabilities() -> io::Result<()> {
    Ok(set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_SETUID_FIXUP,
    )?)
}
