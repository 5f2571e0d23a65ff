//! Why a request to a disk fails.

use compcache_engine::store::{ReadError, WriteError};

/// Why a request to a disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Not whole pages at a page's place.
    #[error("a request of {len} bytes at byte {offset} is not made of whole pages of 4096 bytes")]
    Unaligned {
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        len: u64,
    },
    /// Past the end.
    #[error("a request of {len} bytes at byte {offset} passes the end of the disk ({size} bytes)")]
    OutOfRange {
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        len: u64,
        /// The disk's size in bytes.
        size: u64,
    },
    /// A page could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A page could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl DiskError {
    /// The error number for the kernel.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            DiskError::Unaligned { .. } => libc::EINVAL,
            DiskError::OutOfRange { .. }
            | DiskError::Write(WriteError::OutOfRange { .. })
            | DiskError::Read(ReadError::OutOfRange { .. } | ReadError::Corrupt { .. }) => {
                libc::EIO
            }
            DiskError::Write(WriteError::NoSpace { .. }) => libc::ENOSPC,
            DiskError::Write(WriteError::NoSlotMemory { .. }) => libc::ENOMEM,
            DiskError::Write(WriteError::Backing(e)) | DiskError::Read(ReadError::Backing(e)) => {
                e.errno
            }
        }
    }
}
