//! Descriptors that programs make this process hold: of files and directories that they have open,
//! and of inodes that are not found by handle.
//!
//! A process has a limit of them (`RLIMIT_NOFILE`), which its mounts share with its conversations with
//! the daemon, and with what it opens for a moment. So mounts have part of it only, a mount part of that, and a user too.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// Of the limit, one part in so many is not for mounts, but no more than [`RESERVE`].
const RESERVED_PART: usize = 4;
/// The most descriptors that are kept from mounts: more than all conversations need.
const RESERVE: usize = 4096;

/// For whom a descriptor is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The process itself.
    Own,
    /// A user who has something open.
    User(u32),
    /// The kernel, which knows an inode.
    Kernel,
}

/// The descriptors that mounts may have together.
#[derive(Debug)]
pub(crate) struct Pool {
    most: usize,
    /// Taken before [`MountPool::used`].
    used: Mutex<Used>,
}

/// What is taken. While the lock is free:
///
/// 1. `all` is the sum of all [`Charge`]s, as `used` of a [`MountPool`] is of its own.
/// 2. `users` counts those of users who are limited; one who has none is not in it.
#[derive(Debug, Default)]
struct Used {
    all: usize,
    users: HashMap<u32, usize>,
}

/// The descriptors that a mount may have.
#[derive(Debug)]
pub(crate) struct MountPool {
    pool: Arc<Pool>,
    /// Taken under [`Pool::used`] only.
    used: Mutex<usize>,
    /// The user who is not limited: that of this process.
    own: u32,
}

/// Descriptors that are held. They are given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    mount: Arc<MountPool>,
    holder: Holder,
    count: usize,
}

/// A descriptor that is paid for.
#[derive(Debug)]
pub(crate) struct Held {
    fd: OwnedFd,
    _charge: Charge,
}

impl Held {
    /// Holds `fd` for as long as it lives, paid for by `charge`.
    pub(crate) fn new(fd: OwnedFd, charge: Charge) -> Held {
        Held {
            fd,
            _charge: charge,
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Pool {
    /// That of this process. Raises its limit as far as it may be, at first.
    pub(crate) fn of_this_process() -> Arc<Pool> {
        static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
        Arc::clone(POOL.get_or_init(|| Pool::of(raise())))
    }

    /// That of a process that may have `limit` descriptors.
    pub(crate) fn of(limit: usize) -> Arc<Pool> {
        Arc::new(Pool {
            most: limit - (limit / RESERVED_PART).min(RESERVE),
            used: Mutex::default(),
        })
    }

    /// The most for all mounts.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The most for one user.
    fn most_of_user(&self) -> usize {
        self.most / 2
    }

    /// The most for one mount, as far as users are concerned.
    fn most_of_mount(&self) -> usize {
        self.most / 8 * 5
    }

    /// The most for all mounts as far as users are concerned. The rest is for root.
    fn most_of_users(&self) -> usize {
        self.most / 4 * 3
    }
}

impl MountPool {
    /// That of a new mount.
    pub(crate) fn new(pool: Arc<Pool>) -> Arc<MountPool> {
        Arc::new(MountPool {
            pool,
            used: Mutex::default(),
            own: geteuid().as_raw(),
        })
    }

    /// Takes `count` descriptors, which may be opened then.
    ///
    /// # Errors
    /// EMFILE if the user has too many, ENFILE if all have.
    pub(crate) fn take(self: &Arc<Self>, holder: Holder, count: usize) -> io::Result<Charge> {
        let pool = &self.pool;
        let mut used = pool.used.lock();
        let mut of_mount = self.used.lock();
        let all = used.all + count;
        let most = match holder {
            _ if self.is_privileged(holder) => pool.most,
            _ => pool.most_of_users(),
        };
        let refuse = |errno| Err(io::Error::from_raw_os_error(errno));
        if all > most {
            return refuse(libc::ENFILE);
        }
        if let Holder::User(uid) = holder
            && !self.is_privileged(holder)
        {
            if *of_mount + count > pool.most_of_mount() {
                return refuse(libc::ENFILE);
            }
            let of_user = used.users.get(&uid).copied().unwrap_or(0) + count;
            if of_user > pool.most_of_user() {
                return refuse(libc::EMFILE);
            }
            used.users.insert(uid, of_user);
        }
        used.all = all;
        *of_mount += count;
        Ok(Charge {
            mount: Arc::clone(self),
            holder,
            count,
        })
    }

    /// Whether it may have all that there are.
    fn is_privileged(&self, holder: Holder) -> bool {
        match holder {
            Holder::Own => true,
            Holder::User(uid) => uid == 0 || uid == self.own,
            Holder::Kernel => false,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut used = self.mount.pool.used.lock();
        used.all -= self.count;
        *self.mount.used.lock() -= self.count;
        if let Holder::User(uid) = self.holder
            && let Some(of_user) = used.users.get_mut(&uid)
        {
            *of_user -= self.count;
            if *of_user == 0 {
                used.users.remove(&uid);
            }
        }
    }
}

/// Allows this process as many descriptors as it may have, and says how many.
fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!("the limit of descriptors stays: {e}");
        }
    }
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Holder = Holder::User(0);

    fn errno(taken: io::Result<Charge>) -> Option<i32> {
        taken.err().and_then(|e| e.raw_os_error())
    }

    /// A mount of root's in a process with 1600 descriptors for mounts.
    fn mount(pool: &Arc<Pool>) -> Arc<MountPool> {
        Arc::new(MountPool {
            pool: Arc::clone(pool),
            used: Mutex::default(),
            own: 0,
        })
    }

    #[test]
    fn users_mounts_and_all_have_their_limits() {
        let pool = Pool::of(2132);
        assert_eq!(pool.most(), 1599);
        let (a, b) = (mount(&pool), mount(&pool));
        let one = a.take(Holder::User(1), 799).unwrap();
        assert_eq!(errno(b.take(Holder::User(1), 1)), Some(libc::EMFILE));
        let two = a.take(Holder::User(2), 196).unwrap();
        assert_eq!(errno(a.take(Holder::User(2), 1)), Some(libc::ENFILE));
        let three = b.take(Holder::User(2), 202).unwrap();
        assert_eq!(errno(b.take(Holder::User(3), 1)), Some(libc::ENFILE));
        assert_eq!(errno(b.take(Holder::Kernel, 1)), Some(libc::ENFILE));
        let root = a.take(ROOT, 400).unwrap();
        let own = b.take(Holder::Own, 2).unwrap();
        assert_eq!(errno(b.take(ROOT, 1)), Some(libc::ENFILE));
        drop((one, two, three, root, own));
        let used = pool.used.lock();
        assert_eq!((used.all, used.users.len()), (0, 0));
        assert_eq!((*a.used.lock(), *b.used.lock()), (0, 0));
    }

    #[test]
    fn some_are_always_left() {
        for limit in [0, 1, 1024, 20_000, 1 << 20, usize::MAX] {
            let left = limit - Pool::of(limit).most();
            assert!(left == RESERVE || left == limit / 4, "{limit}: {left}");
        }
    }
}
