//! Mounts whose daemon is gone: every access gives "Transport endpoint is not connected".

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_host::{descriptor, mountinfo};
use parking_lot::Mutex;
use rustix::mount::UnmountFlags;

/// The type by which the kernel's mount table shows mounts of compcache.
pub const KIND: &str = "fuse.compcache";

/// Held between the look at a mount and its removal, so that no new one can come in between. Innermost.
static TURN: Mutex<()> = Mutex::new(());

/// Takes away dead mounts of compcache at `path`; whether there was one. A mount that works is
/// left alone, and so is all that a symbolic link in the path leads to.
///
/// # Errors
/// Those of unmounting.
pub fn clean(path: &Path) -> io::Result<bool> {
    remove(path, Found::is_dead)
}

/// As [`clean`], but the lowest one stays, so that nobody sees the directory beneath: its number; `None` if there is
/// none. Without root it goes, too: `fusermount3` mounts nothing where there is a dead one.
///
/// # Errors
/// Those of unmounting.
pub fn clean_but_one(path: &Path) -> io::Result<Option<u64>> {
    if !rustix::process::geteuid().is_root() {
        clean(path)?;
        return Ok(None);
    }
    remove(path, |found| found.below.is_some() && found.is_dead())?;
    Ok(left(path))
}

/// Takes away mounts of compcache at `path`, from the top, for as long as they are as `goes` says; whether there was
/// one.
fn remove(path: &Path, goes: impl Fn(&Found) -> bool) -> io::Result<bool> {
    let mut any = false;
    loop {
        // A server that does not answer keeps nobody else waiting.
        if Found::at(path)?.is_none_or(|found| !goes(&found)) {
            return Ok(any);
        }
        let _turn = TURN.lock();
        let Some(found) = Found::at(path)?.filter(&goes) else {
            continue;
        };
        found.remove()?;
        any = true;
    }
}

/// Takes away all dead mounts of compcache that this user has made, but for those at the paths that are `kept`, as far
/// as that works. Waits for file systems that do not answer.
pub fn clean_all(kept: &[PathBuf]) {
    let table = match mountinfo::read() {
        Ok(table) => table,
        Err(e) => return tracing::warn!("cannot look for mounts of a crashed daemon: {e}"),
    };
    let uid = rustix::process::geteuid().as_raw();
    for path in of_user(&table, uid) {
        if kept.contains(&path) {
            continue;
        }
        if let Err(e) = clean(&path) {
            tracing::warn!(
                "{}: a mount whose daemon is gone cannot be removed: {e}; try `umount -l`",
                path.display()
            );
        }
    }
}

/// Whether a mount of compcache is at `path`, working or not.
///
/// # Errors
/// If the kernel's mount table can't be read.
pub fn is_mounted(path: &Path) -> io::Result<bool> {
    Ok(Found::at(path)?.is_some())
}

/// The number in the kernel's table of the mount of compcache that is at `path`, working or not; `None` if there is
/// none, or the table can't be read. Asks no file system.
#[must_use]
pub fn number(path: &Path) -> Option<u64> {
    Some(Found::at(path).ok()??.number)
}

/// As [`number`], if the mount has lost its server.
#[must_use]
pub fn left(path: &Path) -> Option<u64> {
    let found = Found::at(path).ok()?.filter(Found::is_dead)?;
    Some(found.number)
}

/// Whether something that is not of compcache is mounted over the mount with this number, which was made at `path`.
/// Asks no file system but those that `path` leads through.
#[must_use]
pub fn is_covered(path: &Path, number: u64) -> bool {
    // The number alone may be that of another one by now.
    let is_it = |mount: mountinfo::Mount<'_>| mount.id == number && mount.mountpoint == path;
    let is_there = || mountinfo::read().is_ok_and(|table| mountinfo::parse(&table).any(is_it));
    match descriptor::open_directory(path) {
        // It lies in another dead one.
        Err(e) if descriptor::is_of_lost_server(&e) => false,
        _ => is_there() && self::number(path).is_none(),
    }
}

/// Ends the connection of the mount of compcache with this number to its server, which hangs, if it is at `path`: who
/// waits for it gets an error. As root the mount stays, dead; otherwise it goes. Asks no file system.
///
/// # Errors
/// Those of unmounting.
pub fn abort(path: &Path, number: u64) -> io::Result<()> {
    let _turn = TURN.lock();
    match Found::at(path)?.filter(|found| found.number == number) {
        Some(found) => found.abort(),
        None => Ok(()),
    }
}

/// Takes the mount of compcache with this number out of the tree, if it is at `path`; whether its server is gone or
/// hangs: who waits for it gets an error. Those that it was made on top of go, too. Asks no file system.
///
/// # Errors
/// Those of unmounting.
pub fn take_out(path: &Path, number: u64) -> io::Result<()> {
    let _turn = TURN.lock();
    let mut next = Some(number);
    while let Some(number) = next {
        let Some(found) = Found::at(path)?.filter(|found| found.number == number) else {
            break;
        };
        found.unmount()?;
        next = found.below;
    }
    Ok(())
}

/// Removes the dead mount of compcache with this number, if it is at `path`, and nothing that it lies on. Asks no file
/// system.
///
/// # Errors
/// Those of unmounting.
pub fn remove_one(path: &Path, number: u64) -> io::Result<()> {
    let _turn = TURN.lock();
    if let Some(found) = Found::at(path)?.filter(|found| found.number == number) {
        found.remove()?;
    }
    Ok(())
}

/// Whether the file system at `path` has lost its server.
#[must_use]
pub fn is_dead(path: &Path) -> bool {
    descriptor::open_directory(path).is_ok_and(|fd| has_no_server(&fd))
}

fn has_no_server(fd: &OwnedFd) -> bool {
    // The kernel may answer for attributes from what it has cached, but not for this.
    rustix::fs::fstatfs(fd).is_err_and(|errno| descriptor::is_of_lost_server(&errno.into()))
}

/// A mount of compcache, by its root: what its path leads to may change at any time, but not what this is open on.
struct Found {
    root: OwnedFd,
    path: PathBuf,
    /// As the kernel's table has it.
    number: u64,
    /// The number of the mount of compcache at the same path that it lies on.
    below: Option<u64>,
}

impl Found {
    /// The mount that is seen at a path, none of whose parts may be a symbolic link; `None` if it is of another
    /// kind, or there is none. Asks no file system.
    fn at(path: &Path) -> io::Result<Option<Found>> {
        let Ok(root) = descriptor::open_directory(path) else {
            return Ok(None);
        };
        let (id, path) = (
            descriptor::mount_id(&root)?,
            descriptor::current_path(&root)?,
        );
        let table = mountinfo::read()?;
        let is_ours = |mount: &mountinfo::Mount<'_>| {
            mount.mountpoint == path && mount.fstype == KIND.as_bytes()
        };
        let find = |id| mountinfo::parse(&table).find(|mount| mount.id == id && is_ours(mount));
        let Some(found) = find(id) else {
            return Ok(None);
        };
        let below = find(found.parent).map(|below| below.id);
        Ok(Some(Found {
            root,
            path,
            number: id,
            below,
        }))
    }

    fn is_dead(&self) -> bool {
        has_no_server(&self.root)
    }

    /// Ends the connection to its server.
    fn abort(&self) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return self.unmount();
        }
        let path = descriptor::path(&self.root);
        match rustix::mount::unmount(path, UnmountFlags::FORCE) {
            // It is in use by its descriptor, and so stays.
            Err(rustix::io::Errno::BUSY) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Unmounts one that is dead, and says so.
    fn remove(&self) -> io::Result<()> {
        self.unmount()?;
        tracing::warn!(
            "{}: removed a mount whose daemon was gone",
            self.path.display()
        );
        Ok(())
    }

    /// Unmounts lazily, and ends the connection to its server: a dead mount has nothing to lose.
    fn unmount(&self) -> io::Result<()> {
        if rustix::process::geteuid().is_root() {
            let path = descriptor::path(&self.root);
            return Ok(rustix::mount::unmount(
                path,
                UnmountFlags::DETACH | UnmountFlags::FORCE,
            )?);
        }
        // It takes paths only, and unmounts nothing but this user's FUSE mounts.
        let output = Command::new("fusermount3")
            .args(["-u", "-z", "--"])
            .arg(&self.path)
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(message.trim().to_owned()))
    }
}

/// Where a user's mounts of compcache are; root's are of everybody.
fn of_user(table: &[u8], uid: u32) -> Vec<PathBuf> {
    let own = format!("user_id={uid}");
    mountinfo::parse(table)
        .filter(|mount| mount.fstype == KIND.as_bytes())
        .filter(|mount| uid == 0 || mount.has_super_option(&own))
        .map(|mount| mount.mountpoint)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{PoisonError, RwLock, RwLockReadGuard};

    use compcache_test_support::needs;
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::mount::{MountFlags, mount};

    use super::*;

    static DEAD_MOUNTS: RwLock<()> = RwLock::new(());

    /// To be held by tests that have dead mounts: [`clean_all`] takes away those of others, too.
    pub(crate) fn among_others() -> RwLockReadGuard<'static, ()> {
        DEAD_MOUNTS.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory, and leave to have dead mounts.
    struct Place {
        _dir: tempfile::TempDir,
        others: Option<RwLockReadGuard<'static, ()>>,
    }

    /// Mounts what a daemon that was killed leaves.
    fn mount_dead(path: &Path) {
        compcache_test_support::mount_dead(path, KIND, 0o40000);
    }

    /// A directory with a dead mount in it, at the path; `None` if this machine cannot make one.
    fn dead_mount() -> Option<(Place, PathBuf)> {
        if !needs::root() || !needs::file("/dev/fuse") {
            return None;
        }
        let others = Some(among_others());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("m");
        fs::create_dir(&path).unwrap();
        mount_dead(&path);
        Some((Place { _dir: dir, others }, path))
    }

    fn count(path: &Path) -> usize {
        let table = mountinfo::read().unwrap();
        mountinfo::parse(&table)
            .filter(|mount| mount.mountpoint == path)
            .count()
    }

    fn unmount_all(path: &Path) {
        while count(path) > 0 {
            rustix::mount::unmount(path, UnmountFlags::DETACH).unwrap();
        }
    }

    #[test]
    fn mounts_of_a_user() {
        let table = b"\
1 0 0:1 / / rw - ext4 /dev/vda rw
2 1 0:2 / /mnt/a rw - fuse.compcache /a rw,user_id=0,group_id=0
3 1 0:3 / /mnt/b rw - fuse.sshfs b: rw,user_id=1000
4 1 0:4 / /mnt/c rw - fuse.compcache /c rw,user_id=1000,group_id=1000
";
        assert_eq!(of_user(table, 1000), [PathBuf::from("/mnt/c")]);
        assert_eq!(of_user(table, 0).len(), 2);
        assert!(of_user(table, 100).is_empty());
    }

    #[test]
    fn what_works_or_is_not_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!clean(dir.path()).unwrap());
        assert!(!clean(&dir.path().join("none")).unwrap());
        assert!(!is_mounted(Path::new("/")).unwrap());
    }

    #[test]
    fn dead_mounts_go_one_after_the_other() {
        let Some((_dir, path)) = dead_mount() else {
            return;
        };
        assert!(left(&path).is_some() && is_dead(&path) && is_mounted(&path).unwrap());
        assert_eq!(left(&path), number(&path));
        assert!(clean(&path).unwrap());
        assert_eq!(count(&path), 0);
        assert!(left(&path).is_none() && !clean(&path).unwrap());
    }

    #[test]
    fn a_mount_is_taken_out_by_its_number() {
        let Some((_dir, path)) = dead_mount() else {
            return;
        };
        let below = number(&path).unwrap();
        mount_dead(&path);
        let above = number(&path).unwrap();
        assert_ne!(below, above);
        // What lies above may be another one's.
        take_out(&path, below).unwrap();
        assert_eq!((count(&path), number(&path)), (2, Some(above)));
        // What lies below would be seen otherwise.
        take_out(&path, above).unwrap();
        assert_eq!((count(&path), number(&path)), (0, None));
    }

    /// However many there are.
    #[test]
    fn one_dead_mount_stays_until_a_new_one_is_there() {
        let Some((_dir, path)) = dead_mount() else {
            return;
        };
        let lowest = number(&path);
        assert_eq!(clean_but_one(&path).unwrap(), lowest);
        for _ in 0..3 {
            mount_dead(&path);
        }
        assert_eq!(clean_but_one(&path).unwrap(), lowest);
        assert_eq!(count(&path), 1);
        unmount_all(&path);
        assert_eq!(clean_but_one(&path).unwrap(), None);
    }

    #[test]
    fn one_that_is_aborted_stays() {
        let Some((_dir, path)) = dead_mount() else {
            return;
        };
        let lowest = number(&path).unwrap();
        abort(&path, lowest).unwrap();
        assert_eq!((count(&path), left(&path)), (1, Some(lowest)));
        // Only what is of compcache is made on top of it.
        mount_dead(&path);
        assert!(!is_covered(&path, lowest));
        mount("test", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        assert!(is_covered(&path, lowest));
        unmount_all(&path);
        assert!(!is_covered(&path, lowest));
    }

    #[test]
    fn those_of_the_configuration_are_kept() {
        let Some((mut place, path)) = dead_mount() else {
            return;
        };
        place.others = None;
        let alone = DEAD_MOUNTS.write().unwrap_or_else(PoisonError::into_inner);
        clean_all(std::slice::from_ref(&path));
        drop(alone);
        assert_eq!(count(&path), 1);
        unmount_all(&path);
    }

    /// Somebody who owns the directories above has them change their names all the time.
    #[test]
    fn mounts_that_come_in_between_stay() {
        const ROUNDS: usize = 200;
        if !needs::root() || !needs::file("/dev/fuse") {
            return;
        }
        let _others = among_others();
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (a, b) = (top.join("a"), top.join("b"));
        let points = [&a, &b].map(|directory| directory.join("m"));
        for point in &points {
            fs::create_dir_all(point).unwrap();
        }
        let plain = descriptor::open_directory(&points[0]).unwrap();
        mount("test", &points[1], "tmpfs", MountFlags::empty(), None).unwrap();
        let unrelated = descriptor::open_directory(&points[1]).unwrap();
        let unrelated = descriptor::mount_id(&unrelated).unwrap();
        let is_there = || {
            let table = mountinfo::read().unwrap();
            mountinfo::parse(&table).any(|mount| mount.id == unrelated)
        };
        let stop = AtomicBool::new(false);
        let kept = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let kept = (0..ROUNDS).all(|_| {
                mount_dead(Path::new(&descriptor::path(&plain)));
                for point in &points {
                    clean(point).unwrap();
                }
                is_there()
            });
            stop.store(true, Ordering::Relaxed);
            kept
        });
        for point in &points {
            unmount_all(point);
        }
        assert!(kept, "an unrelated mount was unmounted");
    }
}
