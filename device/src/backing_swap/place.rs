//! The file or block device at a path, found once: what is checked is what is opened.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// What a swap file's mode may have: bits of its owner.
const OF_OWNER: u32 = 0o700;
/// What others than owner and group have of a device, and the bits that no device should have.
const OF_OTHERS: u32 = 0o7007;

/// The signal by which the kernel notifies the holder of a lease that it is broken (`linux/fcntl.h`).
const F_SETSIG: libc::c_int = 10;

/// How often to look whether a file is open elsewhere.
const LOOKS: u32 = 10;
/// Time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Something at a path. It is not open for reading or writing yet.
#[derive(Debug)]
pub(super) struct Found {
    at: OwnedFd,
    metadata: Metadata,
}

impl Found {
    /// Finds what is at `path`. A symbolic link is followed to a block device only: to a file it
    /// is given back as what it is.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn at(path: &Path) -> io::Result<Found> {
        let find = |flags| {
            let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
            let at = File::from(openat(CWD, path, flags, Mode::empty())?);
            let metadata = at.metadata()?;
            io::Result::Ok(Found {
                at: at.into(),
                metadata,
            })
        };
        let found = find(OFlags::NOFOLLOW)?;
        if !found.metadata.is_symlink() {
            return Ok(found);
        }
        let target = find(OFlags::empty())?;
        Ok(if target.is_block_device() {
            target
        } else {
            found
        })
    }

    pub(super) fn is_file(&self) -> bool {
        self.metadata.is_file()
    }

    pub(super) fn is_block_device(&self) -> bool {
        self.metadata.file_type().is_block_device()
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.metadata.is_symlink()
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its descriptor, good for fstatfs(2) and the like.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.at
    }

    /// A path that leads to it and to nothing else, for as long as this lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.at.as_raw_fd()).into()
    }

    /// Opens it for reading and writing, with these flags beside.
    ///
    /// # Errors
    /// Those of open(2).
    pub(super) fn open(&self, flags: i32) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .custom_flags(flags | libc::O_CLOEXEC)
            .open(self.path())
    }

    /// Why others could read or change what is swapped to this file, if they could.
    pub(super) fn exposed_file(&self) -> Option<String> {
        let own = rustix::process::geteuid().as_raw();
        exposed(self.metadata.uid(), self.metadata.mode(), own)
    }

    /// The mode of a block device to which others than its owner and its group have access.
    pub(super) fn exposed_device(&self) -> Option<u32> {
        let mode = self.metadata.mode() & 0o7777;
        (self.is_block_device() && mode & OF_OTHERS != 0).then_some(mode)
    }
}

/// Whether a file is open, or mapped, anywhere else than by `file`, and stays so: who opened it
/// before it was root's alone could still read and change what is swapped to it. Not known, and so
/// false, if its file system has no leases (fcntl(2)).
///
/// A process that is being started has what this one had open for a moment, so this waits.
pub(super) fn stays_open_elsewhere(file: &File) -> bool {
    for _ in 0..LOOKS {
        if !is_open_elsewhere(file) {
            return false;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    true
}

fn is_open_elsewhere(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // SAFETY: the calls take numbers only, and change nothing but the lease of `file`, which is
    // open. Should somebody open it between the second call and the third, the kernel tells this
    // process by the signal that is set first, which is ignored unless it is caught.
    unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) != 0 {
            return false;
        }
        if libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0 {
            libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
            return false;
        }
    }
    io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

fn exposed(owner: u32, mode: u32, own: u32) -> Option<String> {
    if owner != 0 && owner != own {
        return Some(format!(
            "it belongs to uid {owner}, who could read and change what programs have in it: make a \
             new one as root, or give it to root (chown root:root) with mode 0600 (chmod 600)"
        ));
    }
    let mode = mode & 0o7777;
    (mode & !OF_OWNER != 0).then(|| {
        format!(
            "its mode is {mode:04o}, so that others could read or change what programs have in it: \
             keep it for root alone (chmod 600)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_for_root_or_the_daemons_user_alone() {
        for (owner, mode) in [
            (0, 0o100_600),
            (7, 0o100_600),
            (0, 0o100_400),
            (0, 0o100_700),
        ] {
            assert_eq!(exposed(owner, mode, 7), None);
        }
        assert!(exposed(8, 0o100_600, 7).unwrap().contains("uid 8"));
        assert!(exposed(7, 0o100_600, 0).unwrap().contains("chown root"));
        for mode in [0o644, 0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o4600] {
            let message = exposed(0, 0o100_000 | mode, 0).unwrap();
            assert!(message.contains("chmod 600"), "{message}");
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
        }
    }
}
