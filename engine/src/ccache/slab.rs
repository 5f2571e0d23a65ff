//! A slab: things by number, made in batches, so that growing moves none of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Things made at once.
const BATCH: usize = 256;

/// Things by number. Numbers of those freed are used again, the last one first.
#[derive(Debug)]
pub(super) struct Slab<T> {
    batches: Vec<Box<[T]>>,
    free: Vec<u32>,
    used: u32,
    limit: u32,
}

impl<T: Default> Slab<T> {
    /// An empty slab of at most `limit` things.
    pub(super) fn new(limit: u32) -> Self {
        Slab {
            batches: Vec::new(),
            free: Vec::new(),
            used: 0,
            limit,
        }
    }

    /// The number of a thing that nobody uses, or `None` if there are `limit` of them or the
    /// system has no memory. What it holds is what its last user left.
    pub(super) fn allocate(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let number = self.free.pop()?;
        self.used += 1;
        Some(number)
    }

    fn grow(&mut self) -> Option<()> {
        let first = self.batches.len() * BATCH;
        let end = (first + BATCH).min(self.limit as usize);
        if first >= end {
            return None;
        }
        let mut batch = Vec::new();
        batch.try_reserve_exact(end - first).ok()?;
        batch.extend((first..end).map(|_| T::default()));
        self.batches.try_reserve(1).ok()?;
        // Room for every number, so that freeing never needs memory.
        self.free.try_reserve(end).ok()?;
        self.batches.push(batch.into_boxed_slice());
        self.free.extend((first as u32..end as u32).rev());
        Some(())
    }

    /// Lets a number be used again.
    pub(super) fn free(&mut self, number: u32) {
        debug_assert!(!self.free.contains(&number), "{number} is free already");
        self.used -= 1;
        self.free.push(number);
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.batches[number as usize / BATCH][number as usize % BATCH]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.batches[number as usize / BATCH][number as usize % BATCH]
    }

    /// Things in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Things that memory was taken for, in use or not.
    pub(super) fn made(&self) -> u64 {
        ((self.batches.len() * BATCH) as u64).min(self.limit.into())
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.made() * (size_of::<T>() + size_of::<u32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_bounded() {
        let mut slab = Slab::<u64>::new(300);
        let numbers: Vec<_> = core::iter::from_fn(|| slab.allocate()).collect();
        assert!(numbers.iter().copied().eq(0..300));
        *slab.get_mut(7) = 70;
        *slab.get_mut(299) = 2;
        slab.free(7);
        assert_eq!(
            (slab.used(), slab.allocate(), slab.allocate()),
            (299, Some(7), None)
        );
        assert_eq!((*slab.get(7), *slab.get(299)), (70, 2));
        assert!(slab.bytes() >= 300 * 12);
    }
}
