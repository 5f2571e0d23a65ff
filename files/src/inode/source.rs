//! The directory that is shown: how files in it are reached.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use compcache_host::descriptor;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use super::handle::Handle;
use super::place::Place;
use super::stat::{is_directory, key, stat};
use crate::content::FileKey;
use crate::descriptors::{Held, Holder, MountPool};

/// The directory that is shown.
#[derive(Debug)]
pub(crate) struct Source {
    /// The directory, open for reading.
    pub(crate) root: OwnedFd,
    /// Which it is.
    pub(crate) key: FileKey,
    /// Files are found by handle, so that none has to be held open.
    pub(crate) by_handle: bool,
    /// It is a mount of our own, below which no other can be.
    private: bool,
    /// A directory to be removed with the mount.
    _scratch: Option<Scratch>,
}

/// A directory that is removed with all it holds when this is dropped.
#[derive(Debug)]
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("remove {}: {e}", self.0.display());
        }
    }
}

impl Source {
    /// Opens the directory that `shown` refers to. As root it is a private bind mount of it: what is mounted
    /// below it (the mount that is about to be made, above all) can't be reached, and reading does
    /// not update access times.
    ///
    /// # Errors
    /// Those of opening it.
    pub(crate) fn open(shown: &OwnedFd, root: bool) -> io::Result<Self> {
        let tree = if root { clone_mount(shown) } else { None };
        let fd = open_directory(tree.as_ref().unwrap_or(shown), Path::new("."))?;
        Self::new(fd, root, tree.is_some(), None)
    }

    /// An empty directory in memory that no other program can reach. As root it is a tmpfs that is
    /// not mounted anywhere, otherwise a directory in `/dev/shm` that is removed with the mount.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn in_memory(root: bool) -> io::Result<Self> {
        if root {
            let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(context.as_fd(), "mode", "1777")?;
            fsconfig_create(context.as_fd())?;
            let mount = fsmount(
                context.as_fd(),
                FsMountFlags::FSMOUNT_CLOEXEC,
                MountAttrFlags::MOUNT_ATTR_NOATIME,
            )?;
            let fd = open_directory(mount.as_fd(), Path::new("."))?;
            return Self::new(fd, root, true, None);
        }
        let path = make_scratch(Path::new("/dev/shm"))?;
        let scratch = Scratch(path.clone());
        let fd = open_directory(CWD, &path)?;
        Self::new(fd, root, false, Some(scratch))
    }

    fn new(
        root: OwnedFd,
        is_root: bool,
        private: bool,
        scratch: Option<Scratch>,
    ) -> io::Result<Self> {
        let found = stat(&root)?;
        if !is_directory(&found) {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        // Tried once: both the file system and the capabilities have a say.
        let by_handle = is_root
            && Handle::of(&root)
                .and_then(|handle| handle.open(&root, libc::O_PATH))
                .is_ok();
        Ok(Source {
            key: key(&found),
            root,
            by_handle,
            private,
            _scratch: scratch,
        })
    }

    /// How the file that `fd` (`O_PATH`) is open on will be found again.
    ///
    /// # Errors
    /// ENFILE if it takes a descriptor, and there are too many.
    pub(crate) fn place(
        &self,
        fd: OwnedFd,
        dev: u64,
        descriptors: &Arc<MountPool>,
    ) -> io::Result<Place> {
        // A handle is good for one file system. Parts of one (Btrfs subvolumes) may have devices of
        // their own; what is mounted below has, too.
        if self.by_handle
            && (self.private || dev == self.key.dev)
            && let Ok(handle) = Handle::of(&fd)
        {
            return Ok(Place::Handle(handle));
        }
        let charge = descriptors.take(Holder::Kernel, 1)?;
        Ok(Place::Fd(Box::new(Held::new(fd, charge))))
    }
}

/// A private copy of the mount that a directory is on, from that down; `None` if the kernel
/// (before 5.2) or a container does not allow it.
fn clone_mount(directory: &OwnedFd) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(directory, "", flags).ok()?;
    no_access_times(&tree);
    Some(tree)
}

/// Makes reading through the mount leave access times alone. If that is refused they are
/// updated as usual.
fn no_access_times(tree: &OwnedFd) {
    /// `struct mount_attr` of mount_setattr(2).
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attributes = Attributes {
        set: u64::from(MountAttrFlags::MOUNT_ATTR_NOATIME.bits()),
        clear: u64::from(MountAttrFlags::MOUNT_ATTR__ATIME.bits()),
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated string, `attributes` is as long as is said, and both
    // live until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if done != 0 {
        tracing::debug!("no noatime for the source: {}", io::Error::last_os_error());
    }
}

fn open_directory(at: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

/// Makes a directory of mode 0700 with a name that nobody else has.
fn make_scratch(parent: &Path) -> io::Result<std::path::PathBuf> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = format!("compcache-{:016x}", u64::from_ne_bytes(random));
    let path = parent.join(name);
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&path)?;
    Ok(path)
}

/// Opens `name` in `directory` as a mere reference; a symbolic link is not followed.
///
/// # Errors
/// Those of open(2).
pub(crate) fn open_path(directory: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// Opens what `fd` is open on once more.
///
/// # Errors
/// Those of open(2).
pub(crate) fn reopen(fd: impl AsFd, flags: i32) -> io::Result<OwnedFd> {
    // The path is a link of the kernel's own: it must be followed.
    let flags = OFlags::from_bits_retain((flags & !libc::O_NOFOLLOW) as u32) | OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        descriptor::path(&fd),
        flags,
        Mode::empty(),
    )?)
}

/// Whether this thread's file system user may execute the file that `fd` is open on.
///
/// # Errors
/// EACCES if not, or if the kernel (before 5.8) can't say.
pub(crate) fn may_execute(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: the path is a NUL-terminated string that lives until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS | libc::AT_EMPTY_PATH,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EACCES)),
    }
}
