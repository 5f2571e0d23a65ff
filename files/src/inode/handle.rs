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

/// Bytes of a handle that need no memory of their own: those of ext4, XFS and tmpfs.
const SHORT: usize = 22;

/// A handle: its type in 4 bytes, then what the file system made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    /// So many bytes of these; the others are 0.
    Short(u8, [u8; SHORT]),
    /// All bytes.
    Long(Box<[u8]>),
}

impl Handle {
    /// The handle of the file that `fd` is open on (`O_PATH` will do).
    ///
    /// # Errors
    /// EOPNOTSUPP if the file system has none.
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
        let data = &raw.data[..MAX.min(raw.bytes as usize)];
        Ok(Self::new(&[&raw.kind.to_ne_bytes(), data].concat()))
    }

    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Handle::Short(bytes.len() as u8, short)
            }
            None => Handle::Long(bytes.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Handle::Short(length, bytes) => &bytes[..usize::from(*length)],
            Handle::Long(bytes) => bytes,
        }
    }

    /// Opens the file; `mount` is any open file or directory of its mount.
    ///
    /// # Errors
    /// ESTALE if the file is gone, EPERM without CAP_DAC_READ_SEARCH, and those of open(2).
    pub(crate) fn open(&self, mount: impl AsFd, flags: i32) -> io::Result<OwnedFd> {
        let (kind, data) = self
            .bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_any_length_are_kept() {
        for length in [4, SHORT - 1, SHORT, SHORT + 1, 4 + MAX] {
            let bytes: Vec<u8> = (1..=length as u8).collect();
            assert_eq!(Handle::new(&bytes).bytes(), bytes);
        }
    }

    #[test]
    fn an_inode_takes_little_memory() {
        assert!(size_of::<Handle>() <= 24);
        assert!(size_of::<crate::inode::Inode>() <= 160);
    }
}
