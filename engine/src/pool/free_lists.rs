//! Lists of free runs by size: the smallest run that fits is found in constant time.
//!
//! In the manner of TLSF (Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory
//! allocator for real-time systems", ECRTS 2004) and of ramzswap's xvmalloc: a bitmap says
//! which lists hold something. Runs of up to 256 granules have a list for each size, so what
//! is found is the best fit; larger ones, in which every chunk fits, have 4 lists
//! for each power of two, so that one that grows seldom changes its list.

use super::memory::{Memory, Run};
use crate::host::FrameMemory;

/// Largest run with a list of its own, and the largest chunk but for one granule.
const EXACT: usize = 256;
/// Lists for each power of two above [`EXACT`].
const STEPS: usize = 4;
/// Powers of two from 2^8 to below 2^12, the granules of a frame.
const CLASSES: usize = EXACT + 4 * STEPS;
/// Words of a bitmap of the lists.
const WORDS: usize = CLASSES.div_ceil(64);

/// Heads of the lists; the runs are linked through their own first granules (see [`Run`]).
#[derive(Debug)]
pub(super) struct FreeLists {
    heads: [u64; CLASSES],
    filled: [u64; WORDS],
}

/// The list for runs of `size` granules, 1..=4064.
#[inline]
fn class_of(size: usize) -> usize {
    debug_assert!((1..4096).contains(&size));
    if size <= EXACT {
        size - 1
    } else {
        let log = size.ilog2() as usize;
        EXACT + (log - 8) * STEPS + (size >> (log - 2)) % STEPS
    }
}

impl FreeLists {
    pub(super) const fn new() -> Self {
        FreeLists {
            heads: [0; CLASSES],
            filled: [0; WORDS],
        }
    }

    /// A run of at least `size` granules (at most 257, the largest chunk), still listed; the
    /// tightest there is.
    pub(super) fn find(&self, size: usize) -> Option<u64> {
        debug_assert!(size <= EXACT + 1);
        let from = class_of(size);
        let mut mask = u64::MAX << (from % 64);
        for (i, word) in self.filled.iter().enumerate().skip(from / 64) {
            let found = word & mask;
            if found != 0 {
                return Some(self.heads[i * 64 + found.trailing_zeros() as usize]);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Lists a free run.
    ///
    /// # Safety
    /// `place` starts a free run of `length` granules that is not listed, in a frame of the
    /// arena whose lock the caller holds and to which these lists belong.
    #[inline(always)]
    pub(super) unsafe fn insert<F: FrameMemory>(
        &mut self,
        memory: &Memory<F>,
        place: u64,
        length: usize,
    ) {
        let class = class_of(length);
        let next = self.heads[class];
        // SAFETY: both runs are free and belong to the arena whose lock the caller holds.
        unsafe {
            memory.set_run(
                place,
                Run {
                    next,
                    prev: 0,
                    length,
                },
            );
            if next != 0 {
                memory.set_prev(next, place);
            }
        }
        self.heads[class] = place;
        self.filled[class / 64] |= 1 << (class % 64);
    }

    /// Makes a listed free run longer if it may stay on its list; returns whether it did.
    ///
    /// # Safety
    /// `place` starts a listed free run of `old` granules, in a frame of the arena whose lock the
    /// caller holds and to which these lists belong; the granules behind it up to `new` are free
    /// and part of no listed run.
    #[inline(always)]
    pub(super) unsafe fn grow<F: FrameMemory>(
        &mut self,
        memory: &Memory<F>,
        place: u64,
        old: usize,
        new: usize,
    ) -> bool {
        if old <= EXACT || class_of(old) != class_of(new) {
            return false;
        }
        // SAFETY: the granules are free, and belong to the arena whose lock the caller holds.
        unsafe {
            let run = memory.run(place);
            memory.set_run(place, Run { length: new, ..run });
        }
        true
    }

    /// Takes a free run off its list, and returns its length.
    ///
    /// # Safety
    /// `place` starts a listed free run, in a frame of the arena whose lock the caller holds and
    /// to which these lists belong.
    #[inline(always)]
    pub(super) unsafe fn remove<F: FrameMemory>(
        &mut self,
        memory: &Memory<F>,
        place: u64,
    ) -> usize {
        // SAFETY: listed runs are free, and the lists hold runs of this arena only.
        unsafe {
            let Run { next, prev, length } = memory.run(place);
            if next != 0 {
                memory.set_prev(next, prev);
            }
            if prev != 0 {
                memory.set_next(prev, next);
            } else {
                let class = class_of(length);
                self.heads[class] = next;
                if next == 0 {
                    self.filled[class / 64] &= !(1 << (class % 64));
                }
            }
            length
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_in_range() {
        let mut last = 0;
        for size in 1..4096 {
            let class = class_of(size);
            assert!(
                class < CLASSES && (class == last || class == last + 1),
                "size {size}"
            );
            last = class;
        }
        assert_eq!(last, CLASSES - 1);
        assert_ne!(
            class_of(EXACT),
            class_of(EXACT + 1),
            "a list above 256 fits every chunk"
        );
    }
}
