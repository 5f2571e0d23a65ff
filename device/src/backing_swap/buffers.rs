//! Buffers into which pages are encrypted: ready from the start, one for each worker.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use compcache_engine::{PAGE_SIZE, Page};
use compcache_host::Mapping;
use rustix::mm::MlockFlags;

/// Pages of a buffer: what goes to the disk in one transfer, 256 KiB.
pub(super) const RUN: usize = 64;

/// Some buffers, which are resident and, if the system allows, locked. They never hold anything but
/// encrypted pages.
pub(super) struct Buffers {
    memory: Mapping,
    /// A bit for each buffer that nobody has.
    free: AtomicU64,
}

/// A buffer that is somebody's until it is dropped.
pub(super) struct Buffer<'a> {
    all: &'a Buffers,
    number: u32,
}

impl Buffers {
    /// Bytes of so many buffers.
    pub(super) fn bytes(count: usize) -> usize {
        count.clamp(1, 64) * RUN * PAGE_SIZE
    }

    /// `count` buffers, 1 to 64.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(count: usize) -> io::Result<Buffers> {
        let count = count.clamp(1, 64);
        let memory = Mapping::anonymous(Buffers::bytes(count))?;
        memory.populate(0, memory.len())?;
        // Where that is refused the pool's frames are not locked either, and the user knows.
        let _ = memory.lock(MlockFlags::empty());
        Ok(Buffers {
            memory,
            free: AtomicU64::new(u64::MAX >> (64 - count)),
        })
    }

    /// A buffer that nobody has; never waits.
    pub(super) fn take(&self) -> Option<Buffer<'_>> {
        let mut free = self.free.load(Relaxed);
        while free != 0 {
            let without = free & (free - 1);
            match self
                .free
                .compare_exchange_weak(free, without, Acquire, Relaxed)
            {
                Ok(_) => {
                    let number = free.trailing_zeros();
                    return Some(Buffer { all: self, number });
                }
                Err(now) => free = now,
            }
        }
        None
    }
}

impl Buffer<'_> {
    fn start(&self) -> *mut Page {
        let at = self.number as usize * RUN * PAGE_SIZE;
        self.all.memory.at(at).cast().as_ptr()
    }
}

impl Deref for Buffer<'_> {
    type Target = [Page];

    fn deref(&self) -> &[Page] {
        // SAFETY: the mapping has RUN initialised pages from there on, private to `Buffers`, and
        // whoever has cleared this buffer's bit is the only one to refer to them.
        unsafe { std::slice::from_raw_parts(self.start(), RUN) }
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [Page] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start(), RUN) }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.all.free.fetch_or(1 << self.number, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_owners_and_comes_back() {
        for count in [1, 2, 64] {
            let buffers = Buffers::new(count).unwrap();
            let mut taken: Vec<_> = (0..count).map(|_| buffers.take().unwrap()).collect();
            assert!(buffers.take().is_none());
            for (n, buffer) in (0..).zip(&mut taken) {
                assert!(buffer.as_ptr().addr().is_multiple_of(PAGE_SIZE));
                buffer.fill([n; PAGE_SIZE]);
            }
            for (n, buffer) in (0..).zip(&taken) {
                assert!(buffer.len() == RUN && buffer.iter().all(|page| *page == [n; PAGE_SIZE]));
            }
            drop(taken.pop());
            assert!(buffers.take().is_some());
        }
    }

    #[test]
    fn there_is_one_at_least_and_as_many_as_there_are_bits() {
        for (count, some) in [(0, 1), (65, 64)] {
            let buffers = Buffers::new(count).unwrap();
            let taken: Vec<_> = std::iter::from_fn(|| buffers.take()).collect();
            assert_eq!(taken.len(), some);
        }
    }
}
