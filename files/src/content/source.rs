//! Reading SOURCE without leaving a second copy of its pages in the kernel's page cache.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

/// Read through the page cache, but drop the pages again that this read brought there
/// (`RWF_DONTCACHE`, Linux 6.14).
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Reads from a file system; it remembers what that can do.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The flag is refused.
    keeps: AtomicBool,
}

impl Reader {
    /// Reads at `offset` until the buffer is full or the file ends; returns how much came.
    /// Nothing is read ahead: the kernel has read ahead already by asking us, and what is read ahead
    /// a second time may be dropped before it is used.
    ///
    /// # Errors
    /// Those of pread.
    pub(super) fn read(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(errno) = rustix::fs::fadvise(file, 0, None, Advice::Random) {
            tracing::debug!("fadvise: {}", io::Error::from(errno));
        }
        let mut done = 0;
        while done < buffer.len() {
            match self.read_once(file, offset + done as u64, &mut buffer[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if self.keeps.load(Ordering::Relaxed) && done > 0 {
            drop_behind(file, offset, done as u64);
        }
        Ok(done)
    }

    fn read_once(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        if !self.keeps.load(Ordering::Relaxed) {
            let mut parts = [IoSliceMut::new(buffer)];
            match rustix::io::preadv2(file, &mut parts, offset, DONT_CACHE) {
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    self.keeps.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        rustix::io::pread(file, buffer, offset)
    }
}

/// Asks the kernel to drop a range of a file's pages, as far as they are clean.
pub(super) fn drop_behind(file: &File, offset: u64, length: u64) {
    let length = std::num::NonZeroU64::new(length);
    if let Err(errno) = rustix::fs::fadvise(file, offset, length, Advice::DontNeed) {
        tracing::debug!("fadvise: {}", io::Error::from(errno));
    }
}
