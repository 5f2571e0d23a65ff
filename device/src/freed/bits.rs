//! The bitmap of dead pages: one bit a page of the disk, which the kernel's side sets, and the
//! marks of regions, by which ours finds the bits that were set.
//!
//! ```text
//! word 0        one bit a page, 64 to a word
//! word marks    one bit a region of 512 words (32768 pages, 128 MiB of the disk)
//! ```
//!
//! The kernel's side sets a page's bit, then its region's mark. [`DeadBits::for_each`] takes the
//! mark, then looks at the bits. Between the two steps both sides have a full barrier: the
//! kernel's read-modify-writes that return a value are ordered against everything, ours are
//! followed by a fence. So either we see the bit, or the kernel sees that the mark is gone and
//! sets it again (and wakes us).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of a region: a page of memory.
pub(super) const REGION_WORDS: u32 = 512;
/// Pages of a word.
const WORD: u64 = 64;

/// What stands where in the bitmap of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pages: u64,
    words: u32,
    marks: u32,
    total: u32,
}

impl Layout {
    /// The bitmap of a disk of so many pages, at most 2^32.
    pub(crate) fn new(pages: u64) -> Option<Self> {
        if pages > 1 << 32 {
            return None;
        }
        let words = pages.div_ceil(WORD) as u32;
        // On a cache line of their own.
        let marks = words.next_multiple_of(8);
        Some(Layout {
            pages,
            words,
            marks,
            total: marks
                + words
                    .div_ceil(REGION_WORDS)
                    .div_ceil(64)
                    .next_multiple_of(8),
        })
    }

    /// The pages of the disk.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// The first word of marks.
    pub(super) fn marks(&self) -> u32 {
        self.marks
    }

    /// All words.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.total) * 8
    }
}

/// Memory that somebody else changes too.
type Words = Box<dyn AsRef<[AtomicU64]> + Send + Sync>;

/// The bitmap, shared with the kernel's side.
pub(crate) struct DeadBits {
    words: Words,
    layout: Layout,
}

impl fmt::Debug for DeadBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadBits")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl DeadBits {
    /// The bitmap in memory that has all of the layout's words.
    pub(crate) fn new(words: Words, layout: Layout) -> Self {
        assert!((*words).as_ref().len() >= layout.total as usize);
        DeadBits { words, layout }
    }

    fn words(&self) -> &[AtomicU64] {
        (*self.words).as_ref()
    }

    /// Notes that pages `first..first + count` live: they are being written. What died before
    /// is forgotten.
    ///
    /// A bit that was set when the write was requested is seen here, because the kernel set it
    /// before. If it is not set, nothing needs to be done.
    #[inline]
    pub(crate) fn clear(&self, first: u64, count: u64) {
        let end = first.saturating_add(count).min(self.layout.pages);
        let mut page = first;
        while page < end {
            let bit = page % WORD;
            let here = (WORD - bit).min(end - page);
            let mask = u64::MAX >> (WORD - here) << bit;
            if let Some(word) = self.words().get((page / WORD) as usize)
                && word.load(Ordering::Relaxed) & mask != 0
            {
                word.fetch_and(!mask, Ordering::AcqRel);
            }
            page += here;
        }
    }

    /// Sets the bit of a page and the mark of its region, as the kernel's side does.
    #[cfg(test)]
    pub(super) fn set(&self, page: u64) {
        let words = self.words();
        let word = page / WORD;
        words[word as usize].fetch_or(1 << (page % WORD), Ordering::SeqCst);
        let region = word / u64::from(REGION_WORDS);
        let mark = &words[(u64::from(self.layout.marks) + region / 64) as usize];
        mark.fetch_or(1 << (region % 64), Ordering::SeqCst);
    }

    /// Takes the bit of a page: whether it was set. It is not, after.
    pub(crate) fn take(&self, page: u64) -> bool {
        let mask = 1 << (page % WORD);
        page < self.layout.pages
            && self
                .words()
                .get((page / WORD) as usize)
                .is_some_and(|word| word.fetch_and(!mask, Ordering::AcqRel) & mask != 0)
    }

    /// Calls `found` for every page whose bit is set, in order. It must take the bit.
    pub(crate) fn for_each(&self, mut found: impl FnMut(u64)) {
        let words = self.words();
        let (bits, marks) = words.split_at(self.layout.marks as usize);
        for (group, mark) in marks.iter().enumerate() {
            if mark.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let regions = mark.swap(0, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            for region in ones(regions) {
                let first = (group * 64 + region as usize) * REGION_WORDS as usize;
                let of_region = bits.iter().enumerate().skip(first);
                for (at, word) in of_region.take(REGION_WORDS as usize) {
                    for bit in ones(word.load(Ordering::Relaxed)) {
                        found(at as u64 * WORD + u64::from(bit));
                    }
                }
            }
        }
    }
}

/// The numbers of the bits that are set, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(pages: u64) -> DeadBits {
        let layout = Layout::new(pages).unwrap();
        let words: Vec<AtomicU64> = (0..layout.total).map(|_| AtomicU64::new(0)).collect();
        DeadBits::new(Box::new(words), layout)
    }

    fn drain(bits: &DeadBits) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        bits.for_each(|page| {
            assert!(bits.take(page));
            assert!(!bits.take(page), "it is taken once");
            assert!(found.insert(page));
        });
        found
    }

    #[test]
    fn layouts_hold_every_page_and_region() {
        for pages in [1, 10, 64, 65, 32768, 32769, (1 << 21) + 1, 1 << 32] {
            let layout = Layout::new(pages).unwrap();
            assert!(u64::from(layout.words) * 64 >= pages);
            assert!(layout.marks >= layout.words);
            let regions = layout.words.div_ceil(REGION_WORDS);
            assert!((layout.total - layout.marks) * 64 >= regions);
        }
        assert_eq!(Layout::new((1 << 32) + 1), None);
    }

    #[test]
    fn nothing_is_found_without_a_mark() {
        let bits = bits(1000);
        bits.words()[3].store(1, Ordering::Relaxed);
        assert!(drain(&bits).is_empty());
        bits.set(999);
        assert_eq!(drain(&bits), BTreeSet::from([192, 999]));
        assert!(drain(&bits).is_empty());
    }

    #[test]
    fn pages_past_the_end_are_ignored() {
        let bits = bits(100);
        bits.set(99);
        bits.clear(100, 1 << 40);
        bits.clear(u64::MAX, u64::MAX);
        assert!(!bits.take(100));
        assert!(!bits.take(u64::MAX));
        assert_eq!(drain(&bits), BTreeSet::from([99]));
    }

    proptest! {
        #[test]
        fn what_was_written_again_is_not_found(
            pages in 1u64..5_000_000,
            died in prop::collection::vec(any::<u64>(), 0..60),
            written in prop::collection::vec((any::<u64>(), 0u64..300), 0..20),
        ) {
            let bits = bits(pages);
            let mut dead: BTreeSet<u64> = died.iter().map(|page| page % pages).collect();
            dead.iter().for_each(|page| bits.set(*page));
            for (first, count) in written {
                let first = first % pages;
                bits.clear(first, count);
                dead.retain(|page| !(first..first + count).contains(page));
            }
            prop_assert_eq!(drain(&bits), dead);
        }
    }
}
