//! Mounts whose daemon is gone: every access gives "Transport endpoint is not connected".

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_host::mountinfo;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The type by which the kernel's mount table shows mounts of compcache.
pub const KIND: &str = "fuse.compcache";

/// Held between the look at a mount and its removal, so that no new one can come in between.
static TURN: Mutex<()> = Mutex::new(());

/// Takes away dead mounts of compcache at `path`; whether there was one. A mount that works is
/// left alone.
///
/// # Errors
/// Those of unmounting.
pub fn clean(path: &Path) -> io::Result<bool> {
    let mut any = false;
    // Several may lie one above the other.
    loop {
        let _turn = TURN.lock();
        if !is_dead(path) || !is_mounted(path)? {
            return Ok(any);
        }
        unmount(path)?;
        tracing::warn!("{}: removed a mount whose daemon was gone", path.display());
        any = true;
    }
}

/// Takes away all dead mounts of compcache that this user has made, as far as that works. Waits
/// for file systems that do not answer.
pub fn clean_all() {
    let table = match mountinfo::read() {
        Ok(table) => table,
        Err(e) => return tracing::warn!("cannot look for mounts of a crashed daemon: {e}"),
    };
    let uid = rustix::process::geteuid().as_raw();
    for path in of_user(&table, uid) {
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
    let table = mountinfo::read()?;
    let top = mountinfo::find(&table, path);
    Ok(top.is_some_and(|mount| mount.fstype == KIND.as_bytes()))
}

/// Whether a mount of compcache is at `path` that has lost its server. Asks no other file system.
#[must_use]
pub fn is_left(path: &Path) -> bool {
    is_mounted(path).unwrap_or(false) && is_dead(path)
}

/// Whether the file system at `path` has lost its server.
#[must_use]
pub fn is_dead(path: &Path) -> bool {
    // The kernel may answer for attributes from what it has cached, but not for this.
    rustix::fs::statfs(path).is_err_and(|errno| errno == Errno::NOTCONN)
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

/// Unmounts lazily: a dead mount has nothing to lose.
fn unmount(path: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        return Ok(rustix::mount::unmount(path, flags)?);
    }
    let output = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(path)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(message.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
