//! Mounting a one-file FUSE file system: mount point, `/dev/fuse`, mount, handshake, unmount.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use compcache_host::remedy;
use rustix::mount::{MountFlags, UnmountFlags};

use super::abi::{HandshakeError, Reply};
use crate::error::DeviceError;
use crate::transport::open_driver;

/// The file system's type, as `/proc/self/mountinfo` shows it.
pub(crate) const FSTYPE: &str = "fuse.ramzswap";

/// `_IOR(229, 0, u32)`: makes a fresh `/dev/fuse` descriptor another of the same mount.
const FUSE_DEV_IOC_CLONE: libc::Ioctl = 0x8004_e500_u32 as libc::Ioctl;

/// A mount, undone on drop.
pub(super) struct Mount {
    path: PathBuf,
    mounted: bool,
}

/// The descriptor with which the file system was mounted. When it and its clones are closed,
/// the kernel fails all requests.
pub(super) struct Connection {
    fuse: File,
    /// Whether requests come over io_uring.
    pub(super) uring: bool,
}

/// Opens `/dev/fuse`.
fn open_fuse() -> Result<File, DeviceError> {
    open_driver("/dev/fuse", "fuse")
}

impl Mount {
    /// Mounts at `path`, a new regular file that is made for it (and its directories of mode
    /// 0700 with it), and shakes hands with the kernel: on requests of up to `max_io` bytes of
    /// data, and (if `uring` asks for it and the kernel offers it) on io_uring. Nobody
    /// serves requests yet.
    pub(super) fn new(
        path: &Path,
        max_io: usize,
        uring: bool,
    ) -> Result<(Self, Connection), DeviceError> {
        let mut connection = Connection {
            fuse: open_fuse()?,
            uring: false,
        };
        let shown = path.display().to_string();
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(|e| {
                    DeviceError::system(format!("make the directory {}", parent.display()), e, None)
                })?;
        }
        let in_the_way = "another process uses this runtime directory, or a crashed one left the \
                          file: choose another directory, or unmount and remove it";
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| {
                DeviceError::system(format!("make the mount point {shown}"), e, in_the_way)
            })?;
        let mut mount = Mount {
            path: path.to_owned(),
            mounted: false,
        };
        let options = format!(
            "fd={},rootmode={:o},user_id={},group_id={},max_read={max_io}",
            connection.fuse.as_raw_fd(),
            libc::S_IFREG | 0o600,
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let options = CString::new(options)
            .map_err(|e| DeviceError::system(format!("mount {shown}"), io::Error::from(e), None))?;
        rustix::mount::mount(
            "ramzswap",
            path,
            FSTYPE,
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            options.as_c_str(),
        )
        .map_err(|e| {
            let remedy = match e {
                rustix::io::Errno::PERM => Some(remedy::root("CAP_SYS_ADMIN")),
                rustix::io::Errno::NODEV => {
                    Some("load the kernel's fuse module (modprobe fuse)".to_owned())
                }
                _ => None,
            };
            DeviceError::system(format!("mount {shown}"), e, remedy.as_deref())
        })?;
        mount.mounted = true;
        connection.uring = connection.handshake(max_io, uring)?;
        Ok((mount, connection))
    }

    /// Opens the file.
    pub(super) fn open_file(&self) -> Result<File, DeviceError> {
        File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_CLOEXEC)
            .open(&self.path)
            .map_err(|e| DeviceError::system(format!("open {}", self.path.display()), e, None))
    }

    /// Unmounts. Whoever still has the file open gets errors from now on, and readers of the
    /// session end.
    pub(super) fn unmount(&mut self) -> Result<(), DeviceError> {
        if self.mounted {
            // FORCE ends the connection even if another mount namespace has a copy of the
            // mount; DETACH takes it away even if the file is open.
            match rustix::mount::unmount(&self.path, UnmountFlags::FORCE | UnmountFlags::DETACH) {
                Ok(()) => {}
                // Somebody else has unmounted it.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(e) => {
                    return Err(DeviceError::system(
                        format!("unmount {}", self.path.display()),
                        e,
                        "unmount it by hand",
                    ));
                }
            }
            self.mounted = false;
        }
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DeviceError::system(
                format!("remove the mount point {}", self.path.display()),
                e,
                "remove it by hand",
            )),
            _ => Ok(()),
        }
    }
}

impl Connection {
    /// Answers INIT, which the kernel has queued with the mount, and returns whether io_uring
    /// was agreed on.
    fn handshake(&self, max_io: usize, uring: bool) -> Result<bool, DeviceError> {
        let failed =
            |e: io::Error| DeviceError::system("shake hands with the kernel's FUSE", e, None);
        // The least that the kernel lets a reader bring.
        let mut request = vec![0; 8192 + max_io];
        let len = loop {
            match rustix::io::read(&self.fuse, &mut request) {
                Ok(len) => break len,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(e) => return Err(failed(e.into())),
            }
        };
        let refused = |e: HandshakeError| {
            failed(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the kernel is unfit: {e}"),
            ))
        };
        let (reply, uring) = Reply::init(&request[..len], max_io as u32, uring).map_err(refused)?;
        rustix::io::write(&self.fuse, reply.bytes()).map_err(|e| failed(e.into()))?;
        Ok(uring)
    }

    /// Another descriptor of the same mount, with a queue of its own for requests that its
    /// reader works on.
    pub(super) fn try_clone(&self) -> Result<OwnedFd, DeviceError> {
        let clone = open_fuse()?;
        let session = self.fuse.as_raw_fd().cast_unsigned();
        // SAFETY: the ioctl reads one u32 at the address given, which lives until it returns.
        let done =
            unsafe { libc::ioctl(clone.as_raw_fd(), FUSE_DEV_IOC_CLONE, &raw const session) };
        if done == 0 {
            Ok(clone.into())
        } else {
            let error = io::Error::last_os_error();
            Err(DeviceError::system(
                "clone the FUSE descriptor",
                error,
                None,
            ))
        }
    }
}

/// Ends the connection of the mount at `path`: requests fail from now on, and its server is
/// notified.
pub(super) fn abort(path: &Path) {
    match rustix::mount::unmount(path, UnmountFlags::FORCE | UnmountFlags::DETACH) {
        // It is unmounted already.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(e) => tracing::error!("unmount {}: {}", path.display(), io::Error::from(e)),
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            tracing::error!("{error}");
        }
    }
}
