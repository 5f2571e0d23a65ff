//! How many words are in a page and in its parts.

use crate::page::PAGE_SIZE;

/// 32-bit words in a page.
pub(super) const WORDS: usize = PAGE_SIZE / 4;

/// Words in a block.
pub(super) const LANES: usize = 16;

/// Blocks in a page.
pub(super) const BLOCKS: usize = WORDS / LANES;

/// The longest stride, in words.
pub(super) const MAX_STRIDE: usize = 64;

/// Blocks in a group: encoders choose the classes of so many at once.
pub(super) const GROUP: usize = 4;

/// Groups in a page.
pub(super) const GROUPS: usize = BLOCKS / GROUP;

/// Words in a group, and bits in a [`u64`].
pub(super) const GROUP_WORDS: usize = GROUP * LANES;

/// A bit for each word of a page, in order.
pub(super) type Plane = [u8; WORDS / 8];

/// Bytes of all words and of as many as the longest stride: at least one block more. The streams of
/// a chunk fit too, with room for a vector behind them.
pub(super) const STREAM_ROOM: usize = 4 * (WORDS + MAX_STRIDE);
