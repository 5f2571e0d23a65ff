//! The symlink by which users name a device, in a directory that others write too: another daemon
//! may have the same one (`/dev`), with devices of the same numbers.
//!
//! A link is replaced only if it leads to nothing, and removed only if it is the one that was made.
//! Between a look at a name and its removal somebody may put another file there; so what has the
//! name is moved aside first, looked at, and moved back if it is something else.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use compcache_host::block;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::DeviceError;

/// A link that this process has made.
#[derive(Debug)]
pub(crate) struct Node {
    path: PathBuf,
    identity: Identity,
}

/// Tells a link from others that had its name before or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    changed: (i64, i64),
}

impl Identity {
    /// That of the link at `path`; `None` if there is none.
    fn of(path: &Path) -> io::Result<Option<Identity>> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => Ok(Some(Identity {
                dev: found.dev(),
                ino: found.ino(),
                changed: (found.mtime(), found.mtime_nsec()),
            })),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Node {
    /// Links `path` to a block device. A link that is there already and leads to nothing was left
    /// by a daemon that crashed; it is replaced.
    ///
    /// # Errors
    /// [`DeviceError::NodeTaken`] if there is a link that leads elsewhere,
    /// [`DeviceError::System`] if the link can't be made.
    pub(crate) fn make(path: PathBuf, block_device: &Path) -> Result<Node, DeviceError> {
        let failed = |e| {
            DeviceError::system(
                format!("link {} to {}", path.display(), block_device.display()),
                e,
                "remove what stands in its place, or choose another --dev-dir",
            )
        };
        if let Some(stale) = Identity::of(&path).map_err(failed)? {
            match leads_to(&path) {
                // It can't have been another's: this one is ours now.
                Some(target) if target != block_device => {
                    return Err(DeviceError::NodeTaken { node: path, target });
                }
                _ => remove(&path, stale).map_err(failed)?,
            }
        }
        std::os::unix::fs::symlink(block_device, &path).map_err(failed)?;
        let made = Identity::of(&path).map_err(failed)?;
        let identity = made.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))?;
        Ok(Node { path, identity })
    }

    /// Removes the link, if it is there still.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn remove(&self) -> Result<(), DeviceError> {
        remove(&self.path, self.identity).map_err(|e| {
            DeviceError::system(
                format!("remove {}", self.path.display()),
                e,
                "remove it by hand",
            )
        })
    }
}

/// The device to which the link at `path` leads; `None` if there is no link, or it leads to nothing:
/// to a loop device without a file, or one that is not there.
pub(crate) fn leads_to(path: &Path) -> Option<PathBuf> {
    let target = path.parent()?.join(std::fs::read_link(path).ok()?);
    let gone = is_free_loop(&target)
        || std::fs::symlink_metadata(&target).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    (!gone).then_some(target)
}

/// Removes the link at `path` if it leads to nothing. Returns whether it did.
///
/// # Errors
/// If the system refuses.
pub(crate) fn remove_stale(path: &Path) -> io::Result<bool> {
    let Some(found) = Identity::of(path)? else {
        return Ok(false);
    };
    if leads_to(path).is_some() {
        return Ok(false);
    }
    remove(path, found)?;
    Ok(true)
}

/// Removes the link that has this identity, and nothing else that has its name by now.
fn remove(path: &Path, identity: Identity) -> io::Result<()> {
    if Identity::of(path)? != Some(identity) {
        return Ok(());
    }
    let Some(name) = path.file_name() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}", std::process::id()));
    let aside = path.with_file_name(aside);
    match renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    if Identity::of(&aside)? == Some(identity) {
        return std::fs::remove_file(&aside);
    }
    Ok(renameat_with(
        CWD,
        &aside,
        CWD,
        path,
        RenameFlags::NOREPLACE,
    )?)
}

/// Whether `path` names a loop device that has no file, or is not there at all.
fn is_free_loop(path: &Path) -> bool {
    let Some(name) = path
        .file_name()
        .filter(|n| n.as_bytes().starts_with(b"loop"))
    else {
        return false;
    };
    path.parent() == Some(Path::new("/dev"))
        && block::backing_file(&Path::new("/sys/block").join(name)).is_none()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_leads_to_nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ramzswap0");
        for stale in ["/dev/loop987654", "gone", "/dev/full"] {
            symlink(stale, &path).unwrap();
            let node = Node::make(path.clone(), Path::new("/dev/full")).unwrap();
            assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("/dev/full"));
            node.remove().unwrap();
            assert!(path.symlink_metadata().is_err());
            node.remove().unwrap();
        }
        symlink("/dev/null", &path).unwrap();
        let error = Node::make(path.clone(), Path::new("/dev/full")).unwrap_err();
        assert_eq!(error.errno(), libc::EBUSY);
        let message = error.to_string();
        assert!(
            message.contains("/dev/null") && message.contains("--dev-dir"),
            "{message}"
        );
        assert!(!remove_stale(&path).unwrap());
        assert_eq!(leads_to(&path).unwrap(), Path::new("/dev/null"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_has_the_name_by_now_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ramzswap0");
        let node = Node::make(path.clone(), Path::new("/dev/full")).unwrap();
        // Another link, to the same device even.
        std::fs::remove_file(&path).unwrap();
        symlink("/dev/zero", dir.path().join("other")).unwrap();
        symlink("/dev/full", &path).unwrap();
        node.remove().unwrap();
        assert!(path.symlink_metadata().is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        node.remove().unwrap();
        assert!(!remove_stale(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
