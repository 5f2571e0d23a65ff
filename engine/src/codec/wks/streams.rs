//! Streams as the vector paths write and read them: a whole vector at a time, of which only
//! the first items count.

use super::super::blocks;
use super::format::{Chunk, Counts, Parts};
use super::sizes::STREAM_ROOM;

/// Where the next word, half and byte of a page stand or go.
pub(super) struct Ends {
    /// The next word.
    pub(super) words: *mut u8,
    /// The next half.
    pub(super) halves: *mut u8,
    /// The next byte.
    pub(super) bytes: *mut u8,
}

impl Ends {
    /// The ends of the streams that an encoder fills. Each has room for the items of all
    /// blocks of a page, and for those of one block more.
    #[inline(always)]
    pub(super) fn of_parts(parts: &mut Parts) -> Self {
        let Counts {
            words,
            halves,
            bytes,
        } = parts.counts;
        Ends {
            words: parts.words.as_mut_ptr().wrapping_add(4 * words),
            halves: parts.halves.as_mut_ptr().wrapping_add(2 * halves),
            bytes: parts.bytes.as_mut_ptr().wrapping_add(bytes),
        }
    }

    /// The streams of a chunk, copied to where there is room for a vector behind them; `None`
    /// if there is not.
    #[inline(always)]
    pub(super) fn of_chunk(chunk: &Chunk<'_>, room: &mut [u8; STREAM_ROOM]) -> Option<Self> {
        blocks::copy(chunk.streams, room.get_mut(..chunk.streams.len())?);
        let words = room.as_mut_ptr();
        let halves = words.wrapping_add(4 * chunk.counts.words);
        let bytes = halves.wrapping_add(2 * chunk.counts.halves);
        Some(Ends {
            words,
            halves,
            bytes,
        })
    }

    /// Goes on past the items of sets of words, halves and bytes.
    ///
    /// # Safety
    /// The streams' memory must have the items.
    #[inline]
    #[target_feature(enable = "popcnt")]
    pub(super) unsafe fn advance<Set: Into<u32> + Copy>(&mut self, sets: [Set; 3]) {
        let [words, halves, bytes] = sets;
        let count = |set: Set| set.into().count_ones() as usize;
        // SAFETY: as the caller says.
        unsafe {
            self.words = self.words.add(4 * count(words));
            self.halves = self.halves.add(2 * count(halves));
            self.bytes = self.bytes.add(count(bytes));
        }
    }
}
