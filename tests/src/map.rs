//! A file that is mapped into memory.

use std::fs::File;
use std::io;

use compcache_host::Mapping;
use rustix::mm::{Advice, MsyncFlags, ProtFlags};

/// A shared mapping of a file. Before it is touched the kernel is asked whether that is possible:
/// so if the file is too short or can't be read, there is an error and not a signal.
#[derive(Debug)]
pub struct Map {
    mapping: Mapping,
    writable: bool,
}

impl Map {
    /// Maps the first `length` bytes, whether the file has them or not.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(file: &File, length: usize, writable: bool) -> io::Result<Map> {
        let mut protection = ProtFlags::READ;
        if writable {
            protection |= ProtFlags::WRITE;
        }
        let map = Map {
            mapping: Mapping::shared(file, 0, length, protection)?,
            writable,
        };
        // A process that the test starts would have it for a moment, and FUSE writes out a file that anybody unmaps.
        // SAFETY: nobody else has the mapping, and its pages stay as they are.
        unsafe {
            rustix::mm::madvise(map.start().cast(), map.mapping.len(), Advice::LinuxDontFork)
        }?;
        Ok(map)
    }

    /// Where the mapping starts.
    fn start(&self) -> *mut u8 {
        self.mapping.base().as_ptr()
    }

    fn check(&self, at: usize, length: usize, advice: Advice) -> io::Result<()> {
        assert!(at + length <= self.mapping.len(), "outside of the mapping");
        let first = at & !4095;
        // SAFETY: the pages are within the mapping, and reading them into memory changes nothing
        // that Rust knows of.
        unsafe {
            rustix::mm::madvise(self.start().add(first).cast(), at + length - first, advice)
        }?;
        Ok(())
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// EFAULT if the file has no such bytes or they can't be read.
    ///
    /// # Panics
    /// Outside of the mapping.
    pub fn read(&self, at: usize, length: usize) -> io::Result<Vec<u8>> {
        self.check(at, length, Advice::LinuxPopulateRead)?;
        let mut bytes = vec![0; length];
        // SAFETY: the source is within the mapping and was just readable, the target is as long;
        // they do not overlap. Others may change the file meanwhile, for any bytes are valid.
        unsafe {
            self.start()
                .add(at)
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), length)
        };
        Ok(bytes)
    }

    /// Changes bytes of the file.
    ///
    /// # Errors
    /// As [`Map::read`].
    ///
    /// # Panics
    /// Outside of the mapping, or if it is for reading only.
    pub fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        assert!(self.writable, "a mapping for reading");
        self.check(at, bytes.len(), Advice::LinuxPopulateWrite)?;
        // SAFETY: as in `read`, the other way; the mapping is writable.
        unsafe {
            self.start()
                .add(at)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        Ok(())
    }

    /// Writes what was changed to the file, and waits for that.
    ///
    /// # Errors
    /// Those of msync(2).
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the whole mapping, which msync does not change.
        unsafe { rustix::mm::msync(self.start().cast(), self.mapping.len(), MsyncFlags::SYNC) }?;
        Ok(())
    }
}
