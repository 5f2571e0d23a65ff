//! Descriptors in place of paths. Whoever may write to a directory that a path leads through can have it lead
//! elsewhere from one system call to the next; what a descriptor is open on stays the same.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open, openat};

use crate::proc;

/// The path by which the kernel finds what `fd` is open on, for system calls that take paths only. It holds in this
/// process, for as long as `fd` is open; it is a link that has to be followed.
#[must_use]
pub fn path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Whether this is what the kernel says of a FUSE file system that has lost its server: `ENOTCONN` from then on,
/// `ECONNABORTED` to whoever was waiting for an answer.
#[must_use]
pub fn is_of_lost_server(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOTCONN | libc::ECONNABORTED)
    )
}

/// Opens a directory as a mere reference (`O_PATH`), part by part: none may be a symbolic link. Does not ask the
/// file system of the directory itself, which may be a mount whose server is gone.
///
/// # Errors
/// Those of open(2); `ENOTDIR` for a symbolic link.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = None;
    for part in path.components() {
        let name = match part {
            Component::RootDir | Component::Prefix(_) => {
                directory = Some(open("/", flags, Mode::empty())?);
                continue;
            }
            part => part.as_os_str(),
        };
        let next = match &directory {
            Some(directory) => openat(directory, name, flags, Mode::empty()),
            None => openat(CWD, name, flags, Mode::empty()),
        };
        directory = Some(next?);
    }
    directory.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Where what `fd` is open on is now, as the kernel names it, and as `/proc/self/mountinfo` does.
///
/// # Errors
/// If /proc is not mounted.
pub fn current_path(fd: &impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(path(fd))
}

/// The number of the mount that `fd` is on, as `/proc/self/mountinfo` has it. No other mount has it while `fd` is
/// open. Unlike statx(2) it asks no file system, which may not answer.
///
/// # Errors
/// If /proc is not mounted.
pub fn mount_id(fd: &impl AsFd) -> io::Result<u64> {
    let info = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = proc::read(Path::new(&info))?;
    proc::value(&text, "mnt_id").ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::mountinfo;

    #[test]
    fn no_part_of_the_path_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        symlink("a", top.join("link")).unwrap();
        symlink("b", top.join("a/link")).unwrap();
        let opened = open_directory(&top.join("a/b")).unwrap();
        let found = fs::metadata(path(&opened)).unwrap();
        assert_eq!(found.ino(), fs::metadata(top.join("a/b")).unwrap().ino());
        assert_eq!(current_path(&opened).unwrap(), top.join("a/b"));
        for bad in ["link/b", "a/link", "link"] {
            let error = open_directory(&top.join(bad)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR), "{bad}");
        }
        let missing = open_directory(&top.join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        open_directory(Path::new("/")).unwrap();
    }

    #[test]
    fn a_mount_has_its_number_in_the_table() {
        let root = open_directory(Path::new("/proc")).unwrap();
        let table = mountinfo::read().unwrap();
        let mount = mountinfo::find(&table, Path::new("/proc")).unwrap();
        assert_eq!(mount_id(&root).unwrap(), mount.id);
    }
}
