//! Pages on a block device, past the page cache.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context, Result};
use compcache_engine::{PAGE_SIZE, Page};

/// `BLKDISCARD` of the kernel's `include/uapi/linux/fs.h`: `_IO(0x12, 119)`.
const BLKDISCARD: libc::Ioctl = 0x1277;

/// A page where direct I/O can reach it.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Aligned(pub(crate) Page);

impl Aligned {
    pub(crate) fn new() -> Box<Aligned> {
        Box::new(Aligned([0; PAGE_SIZE]))
    }
}

/// A block device opened for direct I/O.
#[derive(Debug)]
pub(crate) struct Disk(File);

impl Disk {
    pub(crate) fn open(node: &Path) -> Result<Disk> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(node)
            .map(Disk)
            .with_context(|| format!("cannot open {} for direct I/O", node.display()))
    }

    pub(crate) fn write(&self, index: u64, page: &Aligned) -> Result<()> {
        self.0
            .write_all_at(&page.0, index * PAGE_SIZE as u64)
            .with_context(|| format!("cannot write page {index}"))
    }

    pub(crate) fn read(&self, index: u64, page: &mut Aligned) -> Result<()> {
        self.0
            .read_exact_at(&mut page.0, index * PAGE_SIZE as u64)
            .with_context(|| format!("cannot read page {index}"))
    }

    /// Tells the device that it may forget some pages.
    pub(crate) fn discard(&self, first: u64, count: u64) -> Result<()> {
        let range = [first * PAGE_SIZE as u64, count * PAGE_SIZE as u64];
        // SAFETY: the request reads two 64-bit numbers from where its argument points.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), BLKDISCARD, range.as_ptr()) };
        if done == 0 {
            return Ok(());
        }
        Err(std::io::Error::last_os_error())
            .with_context(|| format!("cannot discard {count} pages at page {first}"))
    }
}
