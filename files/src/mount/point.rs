//! The directory that a mount is made on, and the mount there, by descriptor and by number: whoever may write to a
//! directory above may have its path lead elsewhere at any time.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use compcache_host::{descriptor, mountinfo};
use rustix::fs::{Mode, OFlags, openat};

use super::aside::Aside;
use crate::error::FilesError;

/// The file system's type, as `/proc/self/mountinfo` shows it: `fuse.` and [`SUBTYPE`](super::aside::SUBTYPE).
const FSTYPE: &str = "fuse.compcache";

/// A directory, opened as a mere reference, with the path that it had then.
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Opens a directory, of whose path no part may be a symbolic link.
    ///
    /// # Errors
    /// If it is not there, or not such a directory; `doing` names what it is for.
    pub(super) fn open(doing: &'static str, path: &Path) -> Result<Directory, FilesError> {
        let failed = |e: io::Error| {
            let remedy = match e.raw_os_error() {
                Some(libc::ENOENT) => Some("make it first (mkdir)"),
                Some(libc::ENOTDIR) => Some(
                    "each part of its path must be a directory, and no symbolic link: name the path that \
                     the link leads to",
                ),
                _ if descriptor::is_of_lost_server(&e) => {
                    Some("a mount there has lost its server: unmount it first (umount)")
                }
                _ => None,
            };
            FilesError::system(doing, path, e, remedy)
        };
        let fd = descriptor::open_directory(path).map_err(failed)?;
        let path = descriptor::current_path(&fd).map_err(failed)?;
        Ok(Directory { path, fd })
    }

    /// Where it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is open as.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether it is on the mount with this number.
    ///
    /// # Errors
    /// If /proc is not mounted.
    pub(super) fn is_on(&self, number: u64) -> Result<bool, FilesError> {
        let id = descriptor::mount_id(&self.fd)
            .map_err(|e| FilesError::system("look at", &self.path, e, "mount /proc"))?;
        Ok(id == number)
    }

    /// Whether the mount that it is on is in the tree still; yes if that cannot be known.
    pub(super) fn is_in_tree(&self) -> bool {
        let (Ok(id), Ok(table)) = (descriptor::mount_id(&self.fd), mountinfo::read()) else {
            return true;
        };
        mountinfo::parse(&table).any(|mount| mount.id == id)
    }

    /// The mount that was put here just now.
    ///
    /// # Errors
    /// If it is somewhere else than the path of this directory says, which has changed meanwhile.
    pub(super) fn mounted_as(&self, made: &Aside) -> Result<Mounted, FilesError> {
        let failed = |e| FilesError::system("find the mount on", &self.path, e, "mount /proc");
        let id = made.id().map_err(failed)?;
        let table = mountinfo::read().map_err(failed)?;
        let made = mountinfo::parse(&table).find(|mount| mount.id == id);
        made.filter(|made| made.mountpoint == self.path)
            .map(|made| self.found(&made))
            .ok_or_else(|| FilesError::Moved(self.path.clone()))
    }

    fn found(&self, made: &mountinfo::Mount<'_>) -> Mounted {
        Mounted {
            path: self.path.clone(),
            id: made.id,
            device: String::from_utf8_lossy(made.device).into_owned(),
        }
    }

    /// The mount that `fusermount3` made here just now.
    ///
    /// # Errors
    /// If it is somewhere else than the path of this directory says, which has changed meanwhile.
    pub(super) fn mounted(&self) -> Result<Mounted, FilesError> {
        let failed = |e| FilesError::system("find the mount on", &self.path, e, "mount /proc");
        let parent = descriptor::mount_id(&self.fd).map_err(failed)?;
        let table = mountinfo::read().map_err(failed)?;
        let made = mountinfo::parse(&table).rfind(|mount| {
            mount.fstype == FSTYPE.as_bytes()
                && mount.parent == parent
                && mount.mountpoint == self.path
        });
        made.map(|made| self.found(&made))
            .ok_or_else(|| FilesError::Moved(self.path.clone()))
    }
}

/// A mount that is in the tree.
#[derive(Debug)]
pub(super) struct Mounted {
    path: PathBuf,
    id: u64,
    /// Device number of its file system, as sysfs writes it.
    pub(super) device: String,
}

impl Mounted {
    /// Where it was mounted.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is in the tree still; yes if that cannot be known. Asks no file system.
    pub(super) fn is_in_tree(&self) -> bool {
        mountinfo::read().map_or(true, |table| self.find(&table).is_some())
    }

    /// What the kernel's table of mounts says of it.
    fn find<'a>(&self, table: &'a [u8]) -> Option<mountinfo::Mount<'a>> {
        mountinfo::parse(table)
            .find(|mount| mount.id == self.id && mount.fstype == FSTYPE.as_bytes())
    }

    /// Where it is now, by a directory that is held open.
    ///
    /// # Errors
    /// EINVAL if it is not in the tree any more; [`FilesError::Covered`] if its path leads to another mount.
    pub(super) fn locate(&self) -> Result<Located, FilesError> {
        let failed = |e: io::Error| FilesError::system("unmount", &self.path, e, None);
        let gone = || failed(io::Error::from_raw_os_error(libc::EINVAL));
        let table = mountinfo::read().map_err(failed)?;
        let ours = self.find(&table).ok_or_else(gone)?;
        let path = ours.mountpoint;
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(gone());
        };
        let above = descriptor::open_directory(above).map_err(failed)?;
        if !self.is_at(&above, name).map_err(failed)? {
            return Err(FilesError::Covered(path));
        }
        // While it is mounted, the kernel renames nothing that has this name.
        let reach = Path::new(&descriptor::path(&above)).join(name);
        Ok(Located {
            path,
            reach,
            _above: above,
        })
    }

    /// Whether a name leads to this mount. Does not keep it in use.
    fn is_at(&self, above: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(above, name, flags, Mode::empty())?;
        Ok(descriptor::mount_id(&found)? == self.id)
    }
}

/// A mount, and the directory that its mount point is in.
pub(super) struct Located {
    /// Where it is, for programs and messages.
    pub(super) path: PathBuf,
    /// The path by which this process unmounts it.
    pub(super) reach: PathBuf,
    _above: OwnedFd,
}
