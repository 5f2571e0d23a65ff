//! Which granules of a frame are in use: one bit each, kept at the frame's start.

/// Bytes in a granule, the unit in which the pool places chunks.
pub(super) const GRANULE: usize = 16;

/// Granules in a frame.
pub(super) const GRANULES: usize = crate::host::FRAME_SIZE / GRANULE;

/// Granules that the bitmap itself takes, at the start of every frame.
pub(super) const HEADER_GRANULES: usize = GRANULES / 8 / GRANULE;

/// Granules of a frame that chunks can use.
pub(super) const USABLE_GRANULES: usize = GRANULES - HEADER_GRANULES;

const WORDS: usize = GRANULES / 64;

/// One bit a granule, set where it is in use. The bits of the bitmap's own granules are
/// always set, so that no run of free granules reaches into them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Bitmap([u64; WORDS]);

impl Bitmap {
    /// Makes it that of a frame without chunks.
    pub(super) fn clear_all(&mut self) {
        self.0.fill(0);
        self.0[0] = (1 << HEADER_GRANULES) - 1;
    }

    /// The first granule in use at or after `from`, or [`GRANULES`] where there is none.
    pub(super) fn next_used(&self, from: usize) -> usize {
        self.next(from, 0)
    }

    /// The first free granule at or after `from`, or [`GRANULES`] where there is none.
    pub(super) fn next_free(&self, from: usize) -> usize {
        self.next(from, u64::MAX)
    }

    /// The first granule at or after `from` whose bit differs from those of `flip`.
    fn next(&self, from: usize, flip: u64) -> usize {
        let mut mask = u64::MAX << (from % 64);
        for (i, word) in self.0.iter().enumerate().skip(from / 64) {
            let found = (word ^ flip) & mask;
            if found != 0 {
                return i * 64 + found.trailing_zeros() as usize;
            }
            mask = u64::MAX;
        }
        GRANULES
    }

    /// The start of the run of free granules that ends just below `end`; `end` itself where
    /// the granule below it is in use.
    pub(super) fn free_run_start(&self, end: usize) -> usize {
        let mut i = end.div_ceil(64);
        // Bits at and above `end` in its word do not count.
        let mut mask = if end.is_multiple_of(64) {
            u64::MAX
        } else {
            (1 << (end % 64)) - 1
        };
        while i > 0 {
            i -= 1;
            let used = self.0[i] & mask;
            if used != 0 {
                return i * 64 + 64 - used.leading_zeros() as usize;
            }
            mask = u64::MAX;
        }
        0
    }

    /// Marks `start..end` as in use.
    pub(super) fn set(&mut self, start: usize, end: usize) {
        self.each_word(start, end, |word, mask| *word |= mask);
    }

    /// Marks `start..end` as free.
    pub(super) fn clear(&mut self, start: usize, end: usize) {
        self.each_word(start, end, |word, mask| *word &= !mask);
    }

    fn each_word(&mut self, start: usize, end: usize, change: impl Fn(&mut u64, u64)) {
        let mut at = start;
        while at < end {
            let past = ((at / 64 + 1) * 64).min(end);
            let mask = u64::MAX >> (64 - (past - at)) << (at % 64);
            change(&mut self.0[at / 64], mask);
            at = past;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        /// Against a vector of booleans, over random runs set and cleared.
        #[test]
        fn it_agrees_with_a_vector(
            runs in prop::collection::vec((0..GRANULES, 1..400usize, any::<bool>()), 1..60),
            probes in prop::collection::vec(0..=GRANULES, 1..50),
        ) {
            let mut bitmap = Bitmap([u64::MAX; WORDS]);
            bitmap.clear_all();
            let mut model = vec![false; GRANULES];
            model[..HEADER_GRANULES].fill(true);
            for (start, length, used) in runs {
                let start = start.max(HEADER_GRANULES);
                let end = (start + length).min(GRANULES);
                if used { bitmap.set(start, end) } else { bitmap.clear(start, end) }
                model[start..end].fill(used);
            }
            for at in probes {
                let next = |used| (at..GRANULES).find(|i| model[*i] == used).unwrap_or(GRANULES);
                prop_assert_eq!(bitmap.next_used(at), next(true));
                prop_assert_eq!(bitmap.next_free(at), next(false));
                let start = (0..at).rev().find(|i| model[*i]).map_or(0, |i| i + 1);
                prop_assert_eq!(bitmap.free_run_start(at), start);
            }
        }
    }
}
