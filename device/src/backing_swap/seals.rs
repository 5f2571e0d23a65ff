//! The seals of the pages on an encrypted backing swap: what each was encrypted with, by place.
//!
//! A seal is the number of the write, which is most of the nonce, and the tag: 24 bytes. They lie
//! in a sparse table beside the slots, never on the disk, so that a page on the disk keeps its size,
//! and what an attacker writes there, be it an older version of the page, does not match.
//!
//! ```text
//!  63                                     1 0
//! +----------------------------------------+-+
//! | number of the write; 0: never written  |W|  W: a write is under way
//! +----------------------------------------+-+
//! | tag                                      |
//! +                                          +
//! |                                          |
//! +------------------------------------------+
//! ```
//!
//! A place has one writer at a time, since its slot is in transit meanwhile. Readers may come at any
//! time: they take the seal first, then the page, and look whether the seal is still the same (as with
//! a seqlock, whose sequence is the number).

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, fence};

use compcache_engine::SlotMemory;
use compcache_engine::fallible::NoMemory;
use compcache_engine::space::{NoSlot, Table};

use super::cipher::Tag;

/// Words of a seal.
pub(super) const WORDS: u64 = 3;
/// The bit that says that a write is under way.
const WRITING: u64 = 1;

/// What a page was encrypted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// The number of the write, not 0.
    pub(super) number: u64,
    pub(super) tag: Tag,
}

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing was written there.
    Nothing,
    /// A page is being written there.
    Writing,
    /// A page with this seal lies there.
    Sealed(Seal),
}

/// The seals of all places.
pub(super) struct Seals<S> {
    // 1. `W` of a place is set for as long as its page on the disk may be changing. Only the place's writer changes
    //    the words of its seal.
    // 2. While `W` is not set, number and tag are of one write, the last that has succeeded.
    // 3. All numbers are below `next`.
    words: Table<S>,
    /// The number of the next write.
    next: AtomicU64,
}

impl<S: SlotMemory> Seals<S> {
    /// Seals for a third as many places as `memory` has words, which are all zero.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub(super) fn try_new(memory: S) -> Result<Self, NoMemory> {
        Ok(Seals {
            words: Table::try_new(memory)?,
            next: AtomicU64::new(1),
        })
    }

    /// A number that no other write has. They last for 2^63 pages.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// Says that a page is being written to a place, whose seal is then there to be set.
    ///
    /// # Errors
    /// [`NoSlot`] if there is no such place, or no memory for its seal.
    pub(super) fn begin(&self, place: u64) -> Result<(), NoSlot> {
        let head = self.words.get_to_write(place.saturating_mul(WORDS))?;
        for word in 1..WORDS {
            self.words
                .get_to_write(place.saturating_mul(WORDS) + word)?;
        }
        head.fetch_or(WRITING, SeqCst);
        // Before anything of the page is written to the disk, or of the tag to the table.
        fence(SeqCst);
        Ok(())
    }

    /// Says that the page is there, with this seal; what [`Seals::begin`] began.
    pub(super) fn commit(&self, place: u64, seal: Seal) {
        let Some([head, low, high]) = self.of(place) else {
            return;
        };
        let tag = u128::from_le_bytes(seal.tag);
        low.store(tag as u64, Relaxed);
        high.store((tag >> 64) as u64, Relaxed);
        head.store(seal.number << 1, Release);
    }

    /// Says that writing has failed: the seal is the one before.
    pub(super) fn abandon(&self, place: u64) {
        if let Some([head, ..]) = self.of(place) {
            head.fetch_and(!WRITING, Release);
        }
    }

    /// What is known of a place.
    pub(super) fn look(&self, place: u64) -> Look {
        let Some([head, low, high]) = self.of(place) else {
            return Look::Nothing;
        };
        let current = head.load(Acquire);
        let tag = u128::from(high.load(Relaxed)) << 64 | u128::from(low.load(Relaxed));
        match current {
            0 => Look::Nothing,
            writing if writing & WRITING != 0 => Look::Writing,
            number => Look::Sealed(Seal {
                number: number >> 1,
                tag: tag.to_le_bytes(),
            }),
        }
    }

    /// Whether nobody has written to the place since [`Seals::look`] gave this seal of it: what was
    /// read of the disk meanwhile is one version, and the seal is that version's.
    pub(super) fn is_still(&self, place: u64, seal: &Seal) -> bool {
        fence(SeqCst);
        self.of(place)
            .is_some_and(|[head, ..]| head.load(SeqCst) == seal.number << 1)
    }

    /// Bytes of memory that they hold.
    pub(super) fn bytes(&self) -> u64 {
        let mut bytes = 0;
        let mut from = 0;
        while let Some(range) = self.words.next_written(from) {
            bytes += (range.end - range.start) * size_of::<AtomicU64>() as u64;
            from = range.end;
        }
        bytes
    }

    fn of(&self, place: u64) -> Option<[&AtomicU64; WORDS as usize]> {
        let first = place.checked_mul(WORDS)?;
        let word = |n| self.words.get(first.checked_add(n)?);
        Some([word(0)?, word(1)?, word(2)?])
    }
}
