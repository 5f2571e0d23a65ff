//! File handles: names for files that need no descriptor to be kept open
//! (`name_to_handle_at(2)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The longest handle that the kernel makes, in bytes (`MAX_HANDLE_SZ`).
const MAX: usize = 128;

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct Raw {
    bytes: u32,
    kind: i32,
    data: [u8; MAX],
}

/// A handle: its type in 4 bytes, then what the file system made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle(Box<[u8]>);

impl Handle {
    /// The handle of the file that `fd` is open on (`O_PATH` will do).
    ///
    /// # Errors
    /// EOPNOTSUPP where the file system has none.
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Self> {
        let mut raw = Raw {
            bytes: MAX as u32,
            kind: 0,
            data: [0; MAX],
        };
        let mut mount = 0;
        // SAFETY: `raw` is laid out as `struct file_handle` and has room for as many bytes as it
        // says; the path is a NUL-terminated string, and both outputs live until the call returns.
        let done = unsafe {
            libc::name_to_handle_at(
                fd.as_fd().as_raw_fd(),
                c"".as_ptr(),
                (&raw mut raw).cast(),
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut bytes = Vec::with_capacity(4 + raw.bytes as usize);
        bytes.extend_from_slice(&raw.kind.to_ne_bytes());
        bytes.extend_from_slice(&raw.data[..raw.bytes as usize]);
        Ok(Handle(bytes.into_boxed_slice()))
    }

    /// Opens the file; `mount` is any open file or directory of its mount.
    ///
    /// # Errors
    /// ESTALE where the file is gone, EPERM without CAP_DAC_READ_SEARCH, and those of open(2).
    pub(crate) fn open(&self, mount: impl AsFd, flags: i32) -> io::Result<OwnedFd> {
        let (kind, data) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))?;
        let mut raw = Raw {
            bytes: data.len() as u32,
            kind: i32::from_ne_bytes(*kind),
            data: [0; MAX],
        };
        raw.data[..data.len()].copy_from_slice(data);
        // SAFETY: `raw` is laid out as `struct file_handle` and holds as many bytes as it says;
        // it lives until the call returns.
        let fd = unsafe {
            libc::open_by_handle_at(
                mount.as_fd().as_raw_fd(),
                (&raw mut raw).cast(),
                flags | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just made this descriptor; nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
