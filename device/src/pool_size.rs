//! How large the pool of a device is.

use compcache_engine::pool::size::{PoolSize, Reserve};

/// The reserve of ready frames: a 16th of the disk, from 1 to 16 MiB.
const RESERVE: Reserve = Reserve {
    disk_bytes: 16,
    bytes: 1 << 20..=16 << 20,
};

/// The pool of a device of `pages` pages that `workers` threads serve, with at most `memlimit` bytes of memory.
#[must_use]
pub fn for_device(pages: u64, memlimit: Option<u64>, workers: usize) -> PoolSize {
    PoolSize::of_disk(pages, memlimit, workers, &RESERVE)
}
