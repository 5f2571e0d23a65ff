//! The ioctls of compcache 0.6.2: type `z`, numbers 0 to 5. They are the driver's oldest interface
//! and need nothing but a device's node.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::DeviceError;

/// Most bytes of a backing swap's path, its closing zero included.
pub const MAX_SWAP_NAME_LEN: usize = 128;

/// `_IOW('z', 0, size_t)`: the disk's size in kB.
pub(crate) const SET_DISKSIZE_KB: u32 = number(WRITE, 0, size_of::<usize>());
/// `_IOW('z', 1, size_t)`: the memory limit in kB.
pub(crate) const SET_MEMLIMIT_KB: u32 = number(WRITE, 1, size_of::<usize>());
/// `_IOW('z', 2, unsigned char[128])`: the backing swap's path.
pub(crate) const SET_BACKING_SWAP: u32 = number(WRITE, 2, MAX_SWAP_NAME_LEN);
/// `_IOR('z', 3, struct ramzswap_ioctl_stats)`: statistics, `notify_free` among them.
pub(crate) const GET_STATS: u32 = number(READ, 3, size_of::<Stats>());
/// `_IO('z', 4)`: initialise.
pub(crate) const INIT: u32 = number(0, 4, 0);
/// `_IO('z', 5)`: take back.
pub(crate) const RESET: u32 = number(0, 5, 0);

const WRITE: u32 = 1;
const READ: u32 = 2;

/// The number of an ioctl, as the kernel's `_IOC` makes it.
const fn number(direction: u32, nr: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (b'z' as u32) << 8 | nr
}

/// `struct ramzswap_ioctl_stats` of 0.6.2, built with statistics of freed slots.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct Stats {
    /// Path of the backing swap, padded with zeros; all zeros without one.
    pub backing_swap_name: [u8; MAX_SWAP_NAME_LEN],
    /// Most bytes of memory for pages.
    pub memlimit: u64,
    /// The disk's size in bytes.
    pub disksize: u64,
    /// Pages read.
    pub num_reads: u64,
    /// Pages written.
    pub num_writes: u64,
    /// Pages whose read failed.
    pub failed_reads: u64,
    /// Pages whose write failed.
    pub failed_writes: u64,
    /// Requests refused because they were not whole pages of the disk.
    pub invalid_io: u64,
    /// Pages whose slot the kernel freed.
    pub notify_free: u64,
    /// Pages of zeros.
    pub pages_zero: u32,
    /// Share of the stored pages compressed to half a page or less, in per cent.
    pub good_compress_pct: u32,
    /// Share of the stored pages kept as they are, in per cent.
    pub pages_expand_pct: u32,
    /// Pages kept in memory.
    pub pages_stored: u32,
    /// Memory that they take, in pages.
    pub pages_used: u32,
    /// Bytes of the stored pages before compression.
    pub orig_data_size: u64,
    /// Bytes of them after compression.
    pub compr_data_size: u64,
    /// Bytes of memory that they take.
    pub mem_used_total: u64,
    /// Pages read from the backing swap.
    pub bdev_num_reads: u64,
    /// Pages written to the backing swap.
    pub bdev_num_writes: u64,
}

const _: () = assert!(size_of::<Stats>() == 252);

impl Stats {
    /// The backing swap, if there is one.
    #[must_use]
    pub fn backing_swap(&self) -> Option<PathBuf> {
        let name = self.backing_swap_name;
        let length = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let name = std::ffi::OsStr::from_bytes(&name[..length]);
        (length > 0).then(|| PathBuf::from(name))
    }
}

/// Refuses a path that is longer than the driver takes.
pub(crate) fn check_length(path: &Path) -> Result<(), DeviceError> {
    let length = path.as_os_str().len();
    if length < MAX_SWAP_NAME_LEN {
        return Ok(());
    }
    Err(DeviceError::BackingUnfit {
        path: path.to_owned(),
        reason: format!(
            "its path has {length} bytes, the kernel driver takes at most {}: give a shorter one \
             (a link)",
            MAX_SWAP_NAME_LEN - 1
        ),
    })
}

/// A path as the driver takes it.
pub(crate) fn c_name(path: &Path) -> Result<[u8; MAX_SWAP_NAME_LEN], DeviceError> {
    check_length(path)?;
    let bytes = path.as_os_str().as_bytes();
    let mut name = [0; MAX_SWAP_NAME_LEN];
    name[..bytes.len()].copy_from_slice(bytes);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that a program of 2010 was compiled with, on 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_numbers_are_the_originals() {
        let numbers = [
            SET_DISKSIZE_KB,
            SET_MEMLIMIT_KB,
            SET_BACKING_SWAP,
            GET_STATS,
            INIT,
            RESET,
        ];
        let expected = [
            0x4008_7a00,
            0x4008_7a01,
            0x4080_7a02,
            0x80fc_7a03,
            0x7a04,
            0x7a05,
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_the_limit() {
        let long = PathBuf::from("/".repeat(128));
        let message = c_name(&long).unwrap_err().to_string();
        assert!(
            message.contains("128 bytes") && message.contains("at most 127"),
            "{message}"
        );
        let name = c_name(Path::new("/dev/sda2")).unwrap();
        assert_eq!(&name[..10], b"/dev/sda2\0");
    }
}
