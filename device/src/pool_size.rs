//! How large the pool of a device is.

use compcache_engine::PAGE_SIZE;
use compcache_engine::host::FRAME_SIZE;

/// Bytes of an incompressible page in the pool: header and page, in granules of 16 bytes.
const RAW_CHUNK: usize = PAGE_SIZE + 16;

/// Such pages in a frame.
const RAW_PER_FRAME: u64 = (FRAME_SIZE / RAW_CHUNK) as u64;

/// Frames beyond those that a full disk of incompressible pages needs, for each arena: open
/// frames, and what fragments while the evacuator has not come by yet.
const SLACK_PER_ARENA: u64 = 64;

/// The reserve of ready frames: a 16th of the disk, but at least and at most this many bytes.
const RESERVE: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;

/// The pool of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Frames of address space.
    pub frames: u32,
    /// Parts of the pool that threads fill at once.
    pub arenas: usize,
    /// Bytes of ready frames.
    pub reserve_bytes: u64,
}

/// The pool of a device of `pages` pages that `workers` threads serve. It has room for every
/// page stored as it is: only address space is taken beforehand.
pub fn for_device(pages: u64, memlimit: Option<u64>, workers: usize) -> PoolSize {
    let arenas = workers.max(1);
    let slack = (arenas as u64).saturating_mul(SLACK_PER_ARENA);
    let frames = pages.div_ceil(RAW_PER_FRAME).saturating_add(slack);
    let wanted = (pages * PAGE_SIZE as u64 / 16).clamp(*RESERVE.start(), *RESERVE.end());
    PoolSize {
        frames: u32::try_from(frames).unwrap_or(u32::MAX),
        arenas,
        reserve_bytes: memlimit.map_or(wanted, |limit| wanted.min(limit / 8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::MAX_DISKSIZE;

    #[test]
    fn every_page_fits_as_it_is() {
        for pages in [10, 11, 15, 16, 1 << 20, MAX_DISKSIZE / 4096] {
            let size = for_device(pages, None, 8);
            assert!(u64::from(size.frames) * 15 >= pages, "{pages}");
            assert!(u64::from(size.frames) - pages / 15 >= 512, "{pages}");
        }
    }

    #[test]
    fn the_reserve_grows_with_the_disk_and_leaves_room_under_a_limit() {
        let reserve = |mib: u64, limit| for_device(mib * 256, limit, 2).reserve_bytes >> 10;
        assert_eq!(reserve(1, None), 1 << 10);
        assert_eq!(reserve(64, None), 4 << 10);
        assert_eq!(reserve(1 << 20, None), 16 << 10);
        assert_eq!(reserve(64, Some(1 << 20)), 128);
    }
}
