//! A page in offsets of a file.

use compcache_engine::PAGE_SIZE;

/// A page as a length of bytes in a file.
pub(super) const PAGE: u64 = PAGE_SIZE as u64;
