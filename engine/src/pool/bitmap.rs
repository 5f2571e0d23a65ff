//! Where the chunks of a frame begin and end: one bit a granule, kept at the frame's start.

/// Bytes in a granule, the unit in which the pool places chunks.
pub(super) const GRANULE: usize = 16;

/// Granules in a frame.
pub(super) const GRANULES: usize = crate::host::FRAME_SIZE / GRANULE;

/// Granules that the bitmap itself takes, at the start of every frame.
pub(super) const HEADER_GRANULES: usize = GRANULES / 8 / GRANULE;

/// Granules of a frame that chunks can use.
pub(super) const USABLE_GRANULES: usize = GRANULES - HEADER_GRANULES;

/// The smallest chunk: its first granule must not be its last one.
pub(super) const SMALLEST_CHUNK: usize = 2;

const WORDS: usize = GRANULES / 64;

/// One bit a granule, set in the first and in the last granule of each chunk, and in the last
/// granule of the bitmap itself. All that is asked of it are granules where a chunk or a free run
/// begins or ends; between them nothing is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Bitmap([u64; WORDS]);

impl Bitmap {
    /// Makes it that of a frame without chunks.
    pub(super) fn clear_all(&mut self) {
        self.0.fill(0);
        self.flip(HEADER_GRANULES - 1);
    }

    #[inline]
    fn flip(&mut self, granule: usize) {
        self.0[granule / 64 % WORDS] ^= 1 << (granule % 64);
    }

    /// Marks a chunk, which was not marked, at `start..end`.
    #[inline]
    pub(super) fn mark(&mut self, start: usize, end: usize) {
        self.flip(start);
        self.flip(end - 1);
    }

    /// Takes away the marks of the chunk at `start..end`.
    #[inline]
    pub(super) fn unmark(&mut self, start: usize, end: usize) {
        self.flip(start);
        self.flip(end - 1);
    }

    /// Whether a granule is free, which is the first or the last one of a chunk or a free run.
    #[inline]
    pub(super) fn is_free(&self, granule: usize) -> bool {
        self.0[granule / 64 % WORDS] >> (granule % 64) & 1 == 0
    }

    /// The start of the first chunk at or after `from`, which is where a chunk or a free run
    /// begins; [`GRANULES`] if there is none.
    pub(super) fn next_chunk(&self, from: usize) -> usize {
        let mut mask = u64::MAX << (from % 64);
        for (i, word) in self.0.iter().enumerate().skip(from / 64) {
            let found = word & mask;
            if found != 0 {
                return i * 64 + found.trailing_zeros() as usize;
            }
            mask = u64::MAX;
        }
        GRANULES
    }

    /// The end of the chunk that begins at `start`.
    pub(super) fn end_of_chunk(&self, start: usize) -> usize {
        // The next mark after its first is its last.
        (self.next_chunk(start + 1) + 1).min(GRANULES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        /// Chunks one behind the other, some of them freed.
        #[test]
        fn it_finds_chunks_and_gaps(
            parts in prop::collection::vec((SMALLEST_CHUNK..258usize, any::<bool>()), 1..300),
        ) {
            let mut bitmap = Bitmap([u64::MAX; WORDS]);
            bitmap.clear_all();
            prop_assert!(!bitmap.is_free(HEADER_GRANULES - 1));
            let mut placed = Vec::new();
            let mut at = HEADER_GRANULES;
            for (length, stays) in parts {
                if at + length > GRANULES {
                    break;
                }
                bitmap.mark(at, at + length);
                placed.push((at, at + length, stays));
                at += length;
            }
            for (start, end, _) in placed.iter().filter(|(.., stays)| !stays) {
                bitmap.unmark(*start, *end);
            }
            for (i, (start, end, stays)) in placed.iter().enumerate() {
                prop_assert_eq!(bitmap.is_free(*start), !stays);
                prop_assert_eq!(bitmap.is_free(end - 1), !stays);
                let next = placed[i..].iter().find(|(.., stays)| *stays);
                prop_assert_eq!(bitmap.next_chunk(*start), next.map_or(GRANULES, |next| next.0));
                if *stays {
                    prop_assert_eq!(bitmap.end_of_chunk(*start), *end);
                }
            }
        }
    }
}
