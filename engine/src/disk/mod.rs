//! Limits and defaults of a ramzswap disk, the same wherever it is served from (SPECIFICATION.md, "Limits" and
//! "Defaults").

pub mod sizes;

use core::ops::RangeInclusive;

use crate::host::FRAME_SIZE;
use crate::page::PAGE_SIZE;

/// Bytes in a page, as sizes are counted.
pub const PAGE: u64 = PAGE_SIZE as u64;

/// The smallest disk in bytes: ten pages, the least that `mkswap` takes.
pub const MIN_DISKSIZE: u64 = 10 * PAGE;

/// The largest disk in bytes: 2^32 pages, the most that a swap header can name.
pub const MAX_DISKSIZE: u64 = 1 << 44;

/// The smallest memory limit in bytes: under one frame of the pool no page can be kept.
pub const MIN_MEMLIMIT: u64 = FRAME_SIZE as u64;

/// Seconds after which a page may count as cold: up to a day.
pub const AFTER_SECONDS: RangeInclusive<u32> = 1..=86_400;

/// Shares of one CPU that recompression may use, in per cent.
pub const CPU_PERCENT: RangeInclusive<u32> = 1..=100;

/// The disk's default size, in per cent of the RAM.
pub const DEFAULT_DISKSIZE_PERCENT: u64 = 25;

/// The memory limit's default with a backing swap, in per cent of the RAM.
pub const DEFAULT_MEMLIMIT_PERCENT: u64 = 15;

/// The default time, in seconds, after which a page is cold: most pages that come back do so sooner.
pub const DEFAULT_AFTER_SECONDS: u32 = 30;

/// The default share of one CPU for recompression, in per cent. It recompresses about 10 MiB of pages a second, and
/// only while nobody else wants the CPU.
pub const DEFAULT_CPU_PERCENT: u32 = 10;

/// The size in bytes of a disk without a backing swap, if none was set. `ram` is the machine's memory in bytes.
#[must_use]
pub fn default_disksize(ram: u64) -> u64 {
    percent(ram, DEFAULT_DISKSIZE_PERCENT).clamp(MIN_DISKSIZE, MAX_DISKSIZE)
}

/// The memory limit in bytes beside a backing swap of `backing` bytes, if none was set. `ram` is the machine's memory
/// in bytes.
#[must_use]
pub fn default_memlimit(ram: u64, backing: u64) -> u64 {
    percent(ram, DEFAULT_MEMLIMIT_PERCENT)
        .max(MIN_MEMLIMIT)
        .min(backing)
}

/// Whether a disk could fill a machine's memory before it is full: pages seldom compress to less than a third. Both
/// sizes are in bytes.
#[must_use]
pub fn is_large_for(disksize: u64, ram: u64) -> bool {
    disksize > ram.saturating_mul(2)
}

/// A share of the RAM, in whole pages.
fn percent(ram: u64, percent: u64) -> u64 {
    ram / 100 * percent / PAGE * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_default_disk_is_a_share_of_the_ram_within_the_limits() {
        assert_eq!(default_disksize(1000 * MIB), 250 * MIB);
        assert_eq!(default_disksize(0), MIN_DISKSIZE);
        assert_eq!(default_disksize(u64::MAX), MAX_DISKSIZE);
        assert_eq!(default_disksize(1001 * 4001) % PAGE, 0);
    }

    #[test]
    fn the_default_limit_is_a_share_of_the_ram_or_the_backing_swap() {
        assert_eq!(default_memlimit(1000 * MIB, 500 * MIB), 150 * MIB);
        assert_eq!(default_memlimit(1000 * MIB, 64 * MIB), 64 * MIB);
        assert_eq!(default_memlimit(0, 64 * MIB), MIN_MEMLIMIT);
    }

    #[test]
    fn twice_the_ram_is_not_too_large() {
        assert!(!is_large_for(2 * MIB, MIB));
        assert!(is_large_for(2 * MIB + 1, MIB));
        assert!(!is_large_for(u64::MAX, u64::MAX / 2 + 1));
    }
}
