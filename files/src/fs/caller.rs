//! Making files in the name of the program that asks for it.
//!
//! The kernel has checked its permissions already, so that only the owner and the umask of what is
//! made matter: file system user and group, and umask, of the worker thread are switched for the
//! one call.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use compcache_host::proc;
use fuser::Request;
use rustix::thread::{CapabilitiesSecureBits, UnshareFlags, set_capabilities_secure_bits};

thread_local! {
    /// The thread has its own umask, and this is it.
    static UMASK: Cell<Option<u32>> = const { Cell::new(None) };
}

static WARNED: AtomicBool = AtomicBool::new(false);

static WARNED_OF_SWITCH: AtomicBool = AtomicBool::new(false);

/// The thread acts in a program's name until this is dropped.
#[derive(Debug)]
pub(super) struct AsCaller {
    switched: bool,
}

/// Makes the thread act in the name of `request`'s program. If the mount does not belong to
/// root, programs are the same user's.
///
/// # Errors
/// If the thread can't have its own umask, or EPERM if it can't act for another user: a file that
/// is made in root's name instead could be a way to root's rights.
pub(super) fn act_as(request: &Request, umask: u32, root: bool) -> io::Result<AsCaller> {
    set_umask(umask, root)?;
    let switched = root && (request.uid() != 0 || request.gid() != 0);
    if switched {
        switch_to(request.uid(), request.gid())?;
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

/// Whether `request`'s program is in the group. A program that can't be looked at is taken to be
/// in its main group only.
pub(super) fn is_in_group(request: &Request, group: u32) -> bool {
    if request.gid() == group {
        return true;
    }
    let status = format!("/proc/{}/status", request.pid());
    lists_group(&proc::read_or_empty(Path::new(&status)), group)
}

/// Whether `/proc/PID/status` lists the group.
fn lists_group(status: &[u8], group: u32) -> bool {
    proc::after(status, "Groups")
        .is_some_and(|mut groups| groups.any(|word| proc::number(word) == Some(group.into())))
}

/// Gives this thread another file system user and group, or leaves it as root.
fn switch_to(uid: u32, gid: u32) -> io::Result<()> {
    set_fs_ids(uid, gid);
    if fs_ids() == (uid, gid) {
        return Ok(());
    }
    set_fs_ids(0, 0);
    if !WARNED_OF_SWITCH.swap(true, Relaxed) {
        tracing::error!(
            "cannot act for user {uid} and group {gid}: without CAP_SETUID and CAP_SETGID only root \
             can make files on this mount"
        );
    }
    Err(io::Error::from_raw_os_error(libc::EPERM))
}

/// Sets this thread's file system user and group, if it may. The calls say nothing of a failure.
fn set_fs_ids(uid: u32, gid: u32) {
    // SAFETY: both calls take a number and change this thread only.
    unsafe {
        // The group first: the user may be what allows it.
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// This thread's file system user and group (setfsuid(2): an ID that is none changes nothing, and the
/// one before is returned).
fn fs_ids() -> (u32, u32) {
    // SAFETY: both calls take a number and change nothing, since it is no ID.
    unsafe {
        (
            libc::setfsuid(u32::MAX).cast_unsigned(),
            libc::setfsgid(u32::MAX).cast_unsigned(),
        )
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

#[cfg(test)]
mod tests {
    use compcache_test_support::needs;
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    use super::{fs_ids, lists_group, set_fs_ids, switch_to};

    #[test]
    fn whoever_cannot_act_for_another_user_stays_root_and_is_refused() {
        if !needs::root() {
            return;
        }
        let thread = std::thread::spawn(|| {
            switch_to(12, 34).unwrap();
            assert_eq!(fs_ids(), (12, 34));
            set_fs_ids(0, 0);
            for lacking in [CapabilitySet::SETUID, CapabilitySet::SETGID] {
                let all = capabilities(None).unwrap();
                let mut fewer = all;
                fewer.effective.remove(lacking);
                set_capabilities(None, fewer).unwrap();
                let refused = switch_to(12, 34).unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(libc::EPERM), "{lacking:?}");
                assert_eq!(fs_ids(), (0, 0), "{lacking:?}");
                set_capabilities(None, all).unwrap();
            }
        });
        thread.join().unwrap();
    }

    #[test]
    fn groups_are_found_by_their_whole_number() {
        // A program may call itself by any bytes.
        let status = b"Name:\t\xff\nGid:\t7\t7\t7\t7\nGroups:\t10 200 \nNStgid:\t1\n";
        assert!(lists_group(status, 10) && lists_group(status, 200));
        assert!(!lists_group(status, 20) && !lists_group(status, 7));
    }
}
