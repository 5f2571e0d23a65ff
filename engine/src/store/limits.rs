//! What a store can hold, and how long a chunk may be.

use crate::page::PAGE_SIZE;

/// Pages that a store can have: the owner in a chunk's header has 32 bits. 16 TiB.
pub const MAX_PAGES: u64 = 1 << 32;

/// A page whose chunk would be longer than this is sent to the backing store, and is not admitted by
/// a cache: 3/4 of a page, as in ramzswap (`max_zpage_size` in `ramzswap_drv.h`).
pub const INCOMPRESSIBLE_ABOVE: usize = PAGE_SIZE / 4 * 3;

/// A page whose chunk would be longer than this is stored as it is if it has to stay in memory: then
/// an eighth of it is still worth its decompression.
pub(super) const STORED_AS_IT_IS_ABOVE: usize = PAGE_SIZE / 8 * 7;
