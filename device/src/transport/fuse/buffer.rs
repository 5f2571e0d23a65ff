//! The memory into which one worker receives requests.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use compcache_engine::PAGE_SIZE;
use rustix::mm::{MapFlags, ProtFlags};

use super::abi::BEFORE_DATA;
use crate::error::DeviceError;

/// Where a request starts, so that a WRITE's data starts at a page boundary.
pub(super) const REQUEST_AT: usize = PAGE_SIZE - BEFORE_DATA;

/// Where a WRITE's data starts.
pub(super) const DATA_AT: usize = PAGE_SIZE;

/// A page for a request's head and so many bytes for data, resident and (where the system
/// allows) locked from the start.
pub(super) struct Buffer {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Maps and touches the memory, with `max_io` bytes for data. Where the system refuses to lock it, a warning is added
    /// unless it is there already.
    pub(super) fn new(max_io: usize, warnings: &mut Vec<String>) -> Result<Self, DeviceError> {
        let len = DATA_AT + max_io;
        Buffer::map(len, warnings).map_err(|source| DeviceError::Memory {
            what: "a worker's buffer",
            bytes: len as u64,
            source,
        })
    }

    fn map(len: usize, warnings: &mut Vec<String>) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut buffer = Buffer { base, len };
        // Under mlockall(MCL_ONFAULT) MAP_POPULATE does nothing: only writing helps.
        buffer.fill(0xff);
        // SAFETY: locking a mapping of our own does not change what the bytes are.
        if let Err(errno) = unsafe { rustix::mm::mlock(base.as_ptr().cast(), len) } {
            let warning = format!(
                "the buffers of the workers could not be locked in memory ({}): under memory \
                 pressure they may be swapped; run as root or raise RLIMIT_MEMLOCK",
                io::Error::from(errno)
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok(buffer)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has `len` initialised bytes and is ours alone.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping made in `new`, and slices of it borrowed
        // from `self`.
        if let Err(errno) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) } {
            tracing::error!(
                "munmap of {} bytes failed: {}",
                self.len,
                io::Error::from(errno)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_starts_at_a_page() {
        let buffer = Buffer::new(8192, &mut Vec::new()).unwrap();
        assert_eq!(buffer.len(), DATA_AT + 8192);
        assert_eq!(
            buffer[REQUEST_AT + BEFORE_DATA..].as_ptr().addr() % PAGE_SIZE,
            0
        );
    }
}
