//! In whose name a thread acts on SOURCE.
//!
//! What a program asks for is done as the program could do it there itself, as knfsd does it: with its
//! file system user, its groups, and no capabilities. So SOURCE judges by its own rules, beside the
//! kernel that judges on the mount: permissions and ACLs of every kind, the reserve, quotas. What is
//! asked for by the kernel, which keeps the answer for all users (names, attributes, POSIX ACLs), is
//! done as this process, and so is all of it if that is not root's.
//!
//! Dirty pages are written out as the owner of the file, who pays for them in quotas, too.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use compcache_host::proc;
use rustix::fs::Gid;
use rustix::process::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups,
};

/// For how long a thread takes a program's groups to be those that it has read. The kernel judges by
/// those that the program has.
const GROUPS_KNOWN: Duration = Duration::from_secs(1);

/// A thread that acts for somebody still needs locked memory for the cache.
const OF_CALLER: CapabilitySet = CapabilitySet::IPC_LOCK;

/// Set-user-id goes with a write; it may have been set again before that is written out.
const OF_OWNER: CapabilitySet = OF_CALLER.union(CapabilitySet::FSETID);

static WARNED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::new(Thread::new());
}

/// The program that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its file system user.
    pub uid: u32,
    /// Its file system group.
    pub gid: u32,
    /// Its thread, or 0 if that is in another PID namespace: then it is in no other group.
    pub pid: u32,
}

/// A thread's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// This process's.
    Own,
    /// Of somebody else.
    Other {
        uid: u32,
        gid: u32,
        keeps: CapabilitySet,
    },
    /// It is half switched.
    Unknown,
}

/// Whose identity this thread has.
struct Thread {
    own: Own,
    now: Identity,
    /// The supplementary groups that it was given last; as this process it needs none.
    groups: Option<Vec<Gid>>,
    /// Groups that were read.
    known: Option<(Caller, Vec<Gid>, Instant)>,
}

/// What this process is.
struct Own {
    uid: u32,
    gid: u32,
    capabilities: CapabilitySets,
}

/// The thread acts in somebody's name until this is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Acting(());

impl Drop for Acting {
    fn drop(&mut self) {
        be_self();
    }
}

impl Caller {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Caller {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            pid: std::process::id(),
        }
    }

    /// Whether SOURCE refuses it nothing.
    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Makes this thread act in its name, with all its groups.
    ///
    /// # Errors
    /// EPERM if that is not possible: to act as this process instead could give the program rights.
    pub(crate) fn act(self) -> io::Result<Acting> {
        switch(|thread| {
            let identity = thread.identity_of(self.uid, self.gid, OF_CALLER);
            let groups = match identity {
                Identity::Other { uid, .. } if uid != 0 => Some(thread.groups_of(self)),
                _ => None,
            };
            thread.switch(identity, groups)
        })
    }

    /// The same for what is done to a file that is open, for which supplementary groups do not count.
    ///
    /// # Errors
    /// As [`Caller::act`].
    pub(crate) fn act_on_open_file(self) -> io::Result<Acting> {
        switch(|thread| {
            let identity = thread.identity_of(self.uid, self.gid, OF_CALLER);
            thread.switch(identity, None)
        })
    }

    /// Does `write` to a file that is open, in its name. The thread keeps the identity, since who writes
    /// is likely to write again: [`be_self`] ends it.
    ///
    /// # Errors
    /// As [`Caller::act`], and those of `write`.
    pub(crate) fn write<T>(self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let acting = self.act_on_open_file()?;
        let done = write();
        std::mem::forget(acting);
        done
    }
}

/// Makes this thread act in the name of who owns the file.
///
/// # Errors
/// EPERM if that is not possible, and those of fstat(2).
pub(crate) fn act_as_owner(file: &File) -> io::Result<Acting> {
    let found = file.metadata()?;
    switch(|thread| {
        // Root's group is of no use.
        let identity = match found.uid() {
            0 => Identity::Own,
            uid => thread.identity_of(uid, found.gid(), OF_OWNER),
        };
        thread.switch(identity, None)
    })
}

/// Makes this thread act as this process again. If that fails, what it does next is refused for lack
/// of rights.
pub(crate) fn be_self() {
    if let Err(e) = THREAD.with_borrow_mut(|thread| thread.switch(Identity::Own, None)) {
        tracing::error!("a thread of a mount does not get its own user back: {e}");
    }
}

fn switch(to: impl FnOnce(&mut Thread) -> io::Result<()>) -> io::Result<Acting> {
    THREAD.with_borrow_mut(to).map(|()| Acting(()))
}

impl Thread {
    fn new() -> Self {
        Thread {
            own: Own {
                uid: geteuid().as_raw(),
                gid: getegid().as_raw(),
                // Without them it can't act for others, which is then refused.
                capabilities: capabilities(None).unwrap_or(CapabilitySets {
                    effective: CapabilitySet::empty(),
                    permitted: CapabilitySet::empty(),
                    inheritable: CapabilitySet::empty(),
                }),
            },
            now: Identity::Own,
            groups: None,
            known: None,
        }
    }

    /// The identity of a user and group. Root's programs keep all capabilities: which of them they
    /// have is not told.
    fn identity_of(&self, uid: u32, gid: u32, keeps: CapabilitySet) -> Identity {
        if self.own.uid != 0 || (uid, gid) == (self.own.uid, self.own.gid) {
            return Identity::Own;
        }
        let keeps = match uid {
            0 => CapabilitySet::all(),
            _ => keeps,
        };
        Identity::Other { uid, gid, keeps }
    }

    /// Takes on an identity; `None` for groups: any of that identity's will do.
    fn switch(&mut self, to: Identity, groups: Option<Vec<Gid>>) -> io::Result<()> {
        if self.now == to && (groups.is_none() || groups == self.groups) {
            return Ok(());
        }
        if self.now != Identity::Own {
            self.be_own()?;
        }
        let Identity::Other { uid, gid, keeps } = to else {
            return Ok(());
        };
        self.now = Identity::Unknown;
        match self.become_other((uid, gid), keeps, groups.unwrap_or_default()) {
            Ok(()) => {
                self.now = to;
                Ok(())
            }
            Err(e) => {
                self.be_own()?;
                if !WARNED.swap(true, Relaxed) {
                    tracing::error!(
                        "cannot act for user {uid} and group {gid} ({e}): without CAP_SETUID and \
                         CAP_SETGID only root can use this mount"
                    );
                }
                Err(io::Error::from_raw_os_error(libc::EPERM))
            }
        }
    }

    fn become_other(
        &mut self,
        ids: (u32, u32),
        keeps: CapabilitySet,
        groups: Vec<Gid>,
    ) -> io::Result<()> {
        if self.groups.as_ref() != Some(&groups) {
            set_thread_groups(&groups)?;
            self.groups = Some(groups);
        }
        set_fs_ids(ids);
        let mut fewer = self.own.capabilities;
        fewer.effective &= keeps;
        set_capabilities(None, fewer)?;
        check(ids)
    }

    /// Takes on this process's identity. The groups stay: root's rights are not theirs.
    fn be_own(&mut self) -> io::Result<()> {
        self.now = Identity::Unknown;
        let ids = (self.own.uid, self.own.gid);
        set_fs_ids(ids);
        set_capabilities(None, self.own.capabilities)?;
        check(ids)?;
        self.now = Identity::Own;
        Ok(())
    }

    /// The supplementary groups of a program, which waits for us; none of one that can't be looked at.
    fn groups_of(&mut self, caller: Caller) -> Vec<Gid> {
        if let Some((known, groups, at)) = &self.known
            && *known == caller
            && at.elapsed() < GROUPS_KNOWN
        {
            return groups.clone();
        }
        let groups = match caller.pid {
            0 => Vec::new(),
            pid => groups_in(&proc::of(pid, "status").unwrap_or_default(), caller),
        };
        self.known = Some((caller, groups.clone(), Instant::now()));
        groups
    }
}

/// The groups that a `/proc/PID/status` lists, if it is that of a program with this file system user
/// and group (the last of four): a PID can be another program's by now, or in another namespace.
fn groups_in(status: &[u8], caller: Caller) -> Vec<Gid> {
    let is = |key, id: u32| {
        let last = proc::after(status, key).and_then(|mut ids| ids.nth(3));
        last.and_then(proc::number) == Some(id.into())
    };
    if !is("Uid", caller.uid) || !is("Gid", caller.gid) {
        return Vec::new();
    }
    proc::after(status, "Groups")
        .into_iter()
        .flatten()
        .filter_map(|word| u32::try_from(proc::number(word)?).ok())
        .map(Gid::from_raw)
        .collect()
}

/// Sets this thread's file system user and group, if it may. The calls say nothing of a failure.
fn set_fs_ids((uid, gid): (u32, u32)) {
    // SAFETY: both calls take a number and change this thread only.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// Whether this thread has that file system user and group.
fn check(wanted: (u32, u32)) -> io::Result<()> {
    if fs_ids() == wanted {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::EPERM))
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

#[cfg(test)]
mod tests {
    use compcache_test_support::{as_user, needs};

    use super::*;

    fn caller(uid: u32, gid: u32) -> Caller {
        Caller { uid, gid, pid: 0 }
    }

    fn effective() -> CapabilitySet {
        capabilities(None).unwrap().effective
    }

    #[test]
    fn a_thread_acts_for_one_after_another_and_is_itself_again() {
        if !needs::root() {
            return;
        }
        std::thread::spawn(|| {
            let own = effective();
            let acting = caller(12, 34).act().unwrap();
            assert_eq!(fs_ids(), (12, 34));
            assert!((effective() - CapabilitySet::IPC_LOCK).is_empty());
            drop(acting);
            assert_eq!((fs_ids(), effective()), ((0, 0), own));
            caller(12, 34).write(|| Ok(())).unwrap();
            assert_eq!(fs_ids(), (12, 34));
            // From one to the other.
            let acting = caller(56, 78).act_on_open_file().unwrap();
            assert_eq!((fs_ids(), effective()), ((56, 78), own & OF_CALLER));
            drop(acting);
            let acting = caller(0, 78).act().unwrap();
            assert_eq!((fs_ids(), effective()), ((0, 78), own));
            drop(acting);
            let file = tempfile::tempfile().unwrap();
            std::os::unix::fs::fchown(&file, Some(12), Some(34)).unwrap();
            let acting = act_as_owner(&file).unwrap();
            assert_eq!((fs_ids(), effective()), ((12, 34), own & OF_OWNER));
            drop(acting);
            assert_eq!((fs_ids(), effective()), ((0, 0), own));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn whoever_cannot_act_for_another_user_stays_root_and_is_refused() {
        if !needs::root() {
            return;
        }
        for lacking in [CapabilitySet::SETUID, CapabilitySet::SETGID] {
            let thread = std::thread::spawn(move || {
                let mut fewer = capabilities(None).unwrap();
                fewer.effective.remove(lacking);
                set_capabilities(None, fewer).unwrap();
                for _ in 0..2 {
                    let refused = caller(12, 34).act().unwrap_err();
                    assert_eq!(refused.raw_os_error(), Some(libc::EPERM), "{lacking:?}");
                    assert_eq!(fs_ids(), (0, 0), "{lacking:?}");
                    assert_eq!(effective(), fewer.effective, "{lacking:?}");
                }
            });
            thread.join().unwrap();
        }
    }

    #[test]
    fn groups_are_those_of_the_program() {
        if !needs::root() {
            return;
        }
        let groups = as_user(12, 34, &[56, 78], || {
            let pid = rustix::thread::gettid()
                .as_raw_nonzero()
                .get()
                .cast_unsigned();
            let of = |uid, gid| Thread::new().groups_of(Caller { uid, gid, pid });
            [of(12, 34), of(12, 35), of(13, 34)]
        });
        let [own, other_group, other_user] = groups.map(|groups| {
            let numbers = groups.into_iter().map(Gid::as_raw);
            numbers.collect::<Vec<u32>>()
        });
        assert_eq!(own, [56, 78]);
        assert!(other_group.is_empty() && other_user.is_empty());
    }

    #[test]
    fn a_program_may_call_itself_by_any_bytes() {
        let status =
            b"Name:\t\xff\nUid:\t0\t0\t0\t12\nGid:\t7\t7\t7\t34\nGroups:\t10 200 \nNStgid:\t1\n";
        let groups = groups_in(status, caller(12, 34));
        assert_eq!(groups, [10, 200].map(Gid::from_raw));
        assert!(groups_in(status, caller(0, 34)).is_empty());
        assert!(groups_in(status, caller(12, 7)).is_empty());
        assert!(groups_in(b"", caller(12, 34)).is_empty());
    }
}
