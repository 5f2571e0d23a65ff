//! Between what parameters may lie: the rules themselves are in [`params`](crate::params).

use core::ops::RangeInclusive;

use compcache_engine::host::FRAME_SIZE;
use compcache_engine::page::PAGE_SIZE;

/// Bytes in a page.
pub(crate) const PAGE: u64 = PAGE_SIZE as u64;

/// The smallest disk in bytes: ten pages, the least that `mkswap` takes.
pub(crate) const MIN_DISKSIZE: u64 = 10 * PAGE;

/// The largest disk in bytes: 2^32 pages, the most that a swap header can name.
pub(crate) const MAX_DISKSIZE: u64 = 1 << 44;

/// The smallest memory limit in bytes: under one frame of the pool no page can be kept.
pub(crate) const MIN_MEMLIMIT: u64 = FRAME_SIZE as u64;

/// Seconds after which a page may count as cold: up to a day.
pub(crate) const AFTER_SECONDS: RangeInclusive<u32> = 1..=86_400;

/// Shares of one CPU that recompression may use, in per cent.
pub(crate) const CPU_PERCENT: RangeInclusive<u32> = 1..=100;
