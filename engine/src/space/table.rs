//! The address space of a swap device: a dense table of slots.

use alloc::boxed::Box;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::fallible::{NoMemory, collect};
use crate::host::SlotMemory;

/// Slots to one page of the table's own memory.
const SLOTS_PER_PAGE: usize = 512;

/// Why a page has no slot to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// The page is past the end.
    #[error("past the end of the table")]
    OutOfRange,
    /// There is no memory for the slots of this page and its neighbours.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
}

/// A dense table of slots, with a note of which of its own pages were ever written, so that
/// a discard or a read of a large empty range touches no memory, and a page is populated before
/// it is touched at all.
#[derive(Debug)]
pub struct Table<S> {
    memory: S,
    written: Box<[AtomicU64]>,
}

impl<S: SlotMemory> Table<S> {
    /// A table over memory that is all zero.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for the notes of what was written: a bit for each 4 KiB
    /// of slots.
    pub fn try_new(memory: S) -> Result<Self, NoMemory> {
        let table_pages = memory.slots().len().div_ceil(SLOTS_PER_PAGE);
        let written = collect(table_pages.div_ceil(64), |_| AtomicU64::new(0))?;
        Ok(Table { memory, written })
    }

    /// The number of slots.
    #[inline]
    pub fn pages(&self) -> u64 {
        self.memory.slots().len() as u64
    }

    /// Bytes of the slots.
    pub fn bytes(&self) -> u64 {
        self.pages() * 8
    }

    /// The slot of a page to read, or `None` if it was never written or is past the end.
    #[inline]
    pub fn get(&self, index: u64) -> Option<&AtomicU64> {
        let index = usize::try_from(index).ok()?;
        let page = index / SLOTS_PER_PAGE;
        let written = self.written.get(page / 64)?.load(Ordering::Acquire);
        if written >> (page % 64) & 1 == 0 {
            None
        } else {
            self.memory.slots().get(index)
        }
    }

    /// The slot of a page to write. Once it was given, it is given again.
    ///
    /// # Errors
    /// [`NoSlot`].
    #[inline]
    pub fn get_to_write(&self, index: u64) -> Result<&AtomicU64, NoSlot> {
        let index = usize::try_from(index).map_err(|_| NoSlot::OutOfRange)?;
        let slots = self.memory.slots();
        let slot = slots.get(index).ok_or(NoSlot::OutOfRange)?;
        let page = index / SLOTS_PER_PAGE;
        let word = self.written.get(page / 64).ok_or(NoSlot::OutOfRange)?;
        // Acquire: whoever sees the bit may touch what the one who set it has populated.
        if word.load(Ordering::Acquire) >> (page % 64) & 1 == 0 {
            self.begin_page(page, word)?;
        }
        Ok(slot)
    }

    /// Populates a page of the table, whose note lies in `word`, and notes that it is written. Two
    /// may do so at once.
    #[cold]
    fn begin_page(&self, page: usize, word: &AtomicU64) -> Result<(), NoMemory> {
        let first = page * SLOTS_PER_PAGE;
        let past = (first + SLOTS_PER_PAGE).min(self.memory.slots().len());
        self.memory.populate(first..past)?;
        word.fetch_or(1 << (page % 64), Ordering::AcqRel);
        Ok(())
    }

    /// The memory of the slots, for tests that make it fail.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn memory(&self) -> &S {
        &self.memory
    }

    /// The next pages, from `from` on, whose slots may hold something: those whose slots share
    /// a page of the table's memory. `None` if there are none.
    pub fn next_written(&self, from: u64) -> Option<Range<u64>> {
        let first = usize::try_from(from).ok()? / SLOTS_PER_PAGE;
        let mut masked = u64::MAX << (first % 64);
        for word in first / 64..self.written.len() {
            let written = self.written[word].load(Ordering::Acquire) & masked;
            masked = u64::MAX;
            if written != 0 {
                let page = word * 64 + written.trailing_zeros() as usize;
                let start = (page * SLOTS_PER_PAGE) as u64;
                let end = (start + SLOTS_PER_PAGE as u64).min(self.pages());
                let start = start.max(from);
                return (start < end).then_some(start..end);
            }
        }
        None
    }

    /// The slots of `range` that may hold something, in order; those past the end are left
    /// out.
    pub fn written_in(&self, range: Range<u64>) -> impl Iterator<Item = &AtomicU64> {
        let end = range.end.min(self.pages()) as usize;
        let start = (range.start.min(end as u64)) as usize;
        let slots = self.memory.slots();
        (start / SLOTS_PER_PAGE..end.div_ceil(SLOTS_PER_PAGE))
            .filter(|page| {
                let word = self.written.get(page / 64);
                word.is_some_and(|w| w.load(Ordering::Acquire) >> (page % 64) & 1 == 1)
            })
            .flat_map(move |page| {
                let first = (page * SLOTS_PER_PAGE).max(start);
                let past = ((page + 1) * SLOTS_PER_PAGE).min(end);
                slots.get(first..past).unwrap_or_default()
            })
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::host::heap::HeapSlots;

    #[test]
    fn only_written_parts_are_visited() {
        let table = Table::try_new(HeapSlots::new(100_000)).unwrap();
        assert_eq!(table.written_in(0..u64::MAX).count(), 0);
        assert!(table.get(5).is_none());
        assert!(table.get_to_write(5).is_ok());
        assert!(table.get_to_write(99_999).is_ok());
        for past in [100_000, u64::MAX] {
            assert_eq!(table.get_to_write(past).unwrap_err(), NoSlot::OutOfRange);
        }
        assert!(table.get(6).is_some(), "its neighbours share the page");
        // The last page of the table holds 100_000 - 195 * 512 = 160 slots.
        assert_eq!(table.written_in(0..u64::MAX).count(), 512 + 160);
        assert_eq!(table.written_in(510..99_841).count(), 2 + 1);
        assert_eq!(table.written_in(512..99_840).count(), 0);
        assert_eq!(table.written_in(7..7).count(), 0);
    }

    #[test]
    fn what_could_not_be_populated_was_never_written() {
        let table = Table::try_new(HeapSlots::new(100_000)).unwrap();
        assert!(table.get_to_write(5).is_ok());
        table.memory().set_failing(true);
        assert_eq!(
            table.get_to_write(512).unwrap_err(),
            NoSlot::NoMemory(NoMemory)
        );
        assert!(table.get(512).is_none());
        assert_eq!(table.next_written(0), Some(0..512));
        assert!(table.get_to_write(6).is_ok(), "its page is there");
        table.memory().set_failing(false);
        assert!(table.get_to_write(512).is_ok());
    }

    #[test]
    fn the_next_written_part_is_found() {
        let table = Table::try_new(HeapSlots::new(100_000)).unwrap();
        assert_eq!(table.next_written(0), None);
        for index in [600, 99_999, 64 * 512] {
            assert!(table.get_to_write(index).is_ok());
        }
        assert_eq!(table.next_written(0), Some(512..1024));
        assert_eq!(table.next_written(700), Some(700..1024));
        assert_eq!(table.next_written(1024), Some(32_768..33_280));
        assert_eq!(table.next_written(33_280), Some(99_840..100_000));
        for past in [100_000, 100_351, 100_352, 1 << 40, u64::MAX] {
            assert_eq!(table.next_written(past), None, "{past}");
        }
    }
}
