//! How large the pool of a disk is.

use core::ops::RangeInclusive;

use super::bitmap::{GRANULE, USABLE_GRANULES};
use super::memory::CHUNK_HEADER;
use crate::disk::PAGE;
use crate::page::PAGE_SIZE;

/// Granules of a page that is stored as it is.
const RAW_GRANULES: usize = (CHUNK_HEADER + PAGE_SIZE).div_ceil(GRANULE);

/// Such pages in a frame.
const RAW_PER_FRAME: u64 = (USABLE_GRANULES / RAW_GRANULES) as u64;

/// Frames beyond those that a full disk of incompressible pages needs, for each arena: open
/// frames, and what fragments while the evacuator has not come by yet.
const SLACK_PER_ARENA: u64 = 64;

/// How many bytes of frames a disk asks to be kept ready. Under a memory limit it is never more than an eighth of
/// that. (The engine keeps fewer ready in a small pool: a 256th of what it holds, or 512 KiB.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Bytes of the disk for each byte of the reserve; not 0.
    pub disk_bytes: u64,
    /// At least and at most this many bytes.
    pub bytes: RangeInclusive<u64>,
}

/// The pool of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Frames of address space.
    pub frames: u32,
    /// Parts of the pool that workers fill at once.
    pub arenas: usize,
    /// Bytes of ready frames.
    pub reserve_bytes: u64,
}

impl PoolSize {
    /// The pool of a disk of `pages` pages that `workers` workers serve, with at most `memlimit` bytes of memory. It
    /// has room for every page stored as it is: only address space is taken beforehand.
    #[must_use]
    pub fn of_disk(pages: u64, memlimit: Option<u64>, workers: usize, reserve: &Reserve) -> Self {
        let arenas = workers.max(1);
        let slack = (arenas as u64).saturating_mul(SLACK_PER_ARENA);
        let frames = pages.div_ceil(RAW_PER_FRAME).saturating_add(slack);
        let share = pages.saturating_mul(PAGE) / reserve.disk_bytes;
        let wanted = share.clamp(*reserve.bytes.start(), *reserve.bytes.end());
        PoolSize {
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
            arenas,
            reserve_bytes: memlimit.map_or(wanted, |limit| wanted.min(limit / 8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MAX_DISKSIZE;

    const RESERVE: Reserve = Reserve {
        disk_bytes: 16,
        bytes: 1 << 20..=16 << 20,
    };

    #[test]
    fn every_page_fits_as_it_is() {
        for pages in [10, 11, 15, 16, 1 << 20, MAX_DISKSIZE / PAGE] {
            let size = PoolSize::of_disk(pages, None, 8, &RESERVE);
            assert!(u64::from(size.frames) * 15 >= pages, "{pages}");
            assert!(u64::from(size.frames) - pages / 15 >= 512, "{pages}");
        }
    }

    #[test]
    fn the_reserve_grows_with_the_disk_and_leaves_room_under_a_limit() {
        let reserve =
            |mib: u64, limit| PoolSize::of_disk(mib * 256, limit, 2, &RESERVE).reserve_bytes >> 10;
        assert_eq!(reserve(1, None), 1 << 10);
        assert_eq!(reserve(64, None), 4 << 10);
        assert_eq!(reserve(1 << 20, None), 16 << 10);
        assert_eq!(reserve(64, Some(1 << 20)), 128);
    }
}
