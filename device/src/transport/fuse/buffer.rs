//! The memory into which one worker receives requests.

use std::io;
use std::ops::{Deref, DerefMut};

use compcache_engine::PAGE_SIZE;
use compcache_host::Mapping;
use compcache_host::memory::NotLocked;
use rustix::mm::MlockFlags;

use super::abi::BEFORE_DATA;
use crate::error::DeviceError;

/// Where a request starts, so that a WRITE's data starts at a page boundary.
pub(super) const REQUEST_AT: usize = PAGE_SIZE - BEFORE_DATA;

/// Where a WRITE's data starts.
pub(super) const DATA_AT: usize = PAGE_SIZE;

/// Most bytes of data in one request.
pub(super) const MAX_IO: usize = 1 << 20;

/// A page for a request's head and so many bytes for data, resident and (if the system
/// allows) locked from the start.
pub(super) struct Buffer {
    mapping: Mapping,
    locked: Result<(), NotLocked>,
}

impl Buffer {
    /// Maps and touches the memory, with `max_io` bytes for data.
    pub(super) fn new(max_io: usize) -> Result<Self, DeviceError> {
        let len = DATA_AT + max_io;
        Buffer::map(len).map_err(|source| DeviceError::Memory {
            what: "a worker's buffer",
            bytes: len as u64,
            source,
        })
    }

    fn map(len: usize) -> io::Result<Self> {
        let mut buffer = Buffer {
            mapping: Mapping::anonymous(len)?,
            locked: Ok(()),
        };
        // Not MAP_POPULATE: under mlockall(MCL_ONFAULT) that does nothing.
        buffer.fill(0xff);
        let what = "memory of the workers' buffers";
        let locked = buffer.mapping.lock(MlockFlags::empty());
        buffer.locked = locked.map_err(|errno| NotLocked { what, errno });
        Ok(buffer)
    }

    /// Whether the memory is locked.
    pub(super) fn locked(&self) -> Result<(), NotLocked> {
        self.locked
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has so many initialised bytes, and is private and ours alone.
        unsafe { std::slice::from_raw_parts(self.mapping.base().as_ptr(), self.mapping.len()) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.base().as_ptr(), self.mapping.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_starts_at_a_page() {
        let buffer = Buffer::new(8192).unwrap();
        assert_eq!(buffer.len(), DATA_AT + 8192);
        assert_eq!(
            buffer[REQUEST_AT + BEFORE_DATA..].as_ptr().addr() % PAGE_SIZE,
            0
        );
    }
}
