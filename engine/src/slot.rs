//! Slots: the 64-bit word that says where a page is, and the protocol by which many threads
//! change it.
//!
//! ```text
//!  63                          28 27        16 15  12 11 10   4 3    1 0
//! +------------------------------+------------+------+---------+------+-+
//! | place (16-byte granules)     | length - 1 | codec|S| age   | kind |L|  chunk
//! +------------------------------+------------+------+---------+------+-+
//! | value, sign-extended from 52 bits                | 0       | kind |L|  same-filled, word
//! +---------------------------+----------------------+---------+------+-+
//! | value, repeated twice     | 0                    | 0       | kind |L|  same-filled, half
//! +---------------------------+----------------------+---------+------+-+
//! | checksum of the page      | 0                    | 0       | kind |L|  backing store
//! +---------------------------+----------------------+---------+------+-+
//! | when the page was dropped (52 bits)              | 0       | kind |L|  shadow
//! +--------------------------------------------------+---------+------+-+
//! ```
//!
//! The age of a chunk is 7 bits: how often [`age`] found that its page was neither read nor
//! written since. The bit above them says that the chunk is settled: compressing it once more
//! was tried, and did not pay.
//!
//! An empty slot is 0. `L` is the lock bit, held by whoever reads the chunk, moves it, or
//! writes the page to the backing store; it keeps the chunk from being freed meanwhile.
//! Whoever changes what the slot says does so with one atomic store ([`replace`] or
//! [`Held::commit`]), gets what it said before as [`Taken`], and only then frees that.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::codec::CodecId;

const LOCK: u64 = 1;
const KIND_SHIFT: u32 = 1;
const KIND_MASK: u64 = 0b111;
const AGE_SHIFT: u32 = 4;
const AGE_MASK: u64 = 0x7f;
const SETTLED: u64 = 1 << 11;
const CODEC_SHIFT: u32 = 12;
const CODEC_MASK: u64 = 0xf;
const LENGTH_SHIFT: u32 = 16;
const LENGTH_MASK: u64 = 0xfff;
const PLACE_SHIFT: u32 = 28;
const WORD_SHIFT: u32 = 12;
const HIGH_SHIFT: u32 = 32;

const KIND_EMPTY: u64 = 0;
const KIND_SAME_WORD: u64 = 1;
const KIND_SAME_HALF: u64 = 2;
const KIND_CHUNK: u64 = 3;
const KIND_BACKING: u64 = 4;
const KIND_SHADOW: u64 = 5;

/// Moments of a shadow are counted modulo this.
pub const SHADOW_MOMENTS: u64 = 1 << (64 - WORD_SHIFT);

/// Bits of a place: pools of up to 2^36 granules of 16 bytes, 1 TiB.
pub const PLACE_BITS: u32 = 64 - PLACE_SHIFT;

/// The oldest that a slot gets; it stays so.
pub const MAX_AGE: u8 = AGE_MASK as u8;

/// A slot's value, without the lock bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Slot(u64);

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The page was never written, or was discarded: it reads as zeros.
    Empty,
    /// The page repeats this 64-bit word.
    Same(u64),
    /// The page is a chunk in the pool.
    Chunk(ChunkRef),
    /// The page lies in the backing store.
    Backing {
        /// CRC-32C of the whole page.
        checksum: u32,
    },
    /// The page is not held, but was: a cache dropped it, or let it pass.
    Shadow {
        /// The cache's moment then, below [`SHADOW_MOMENTS`].
        when: u64,
    },
}

/// Where a chunk lies and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// Place of the chunk's header, in granules of the pool; below 2^[`PLACE_BITS`].
    pub place: u64,
    /// Bytes of the chunk without its header, 1..=4096.
    pub length: usize,
    /// The codec that reads it.
    pub codec: CodecId,
}

impl Slot {
    /// The slot of a page that holds nothing.
    pub const EMPTY: Slot = Slot(0);

    /// The slot of a page that repeats `word`, or `None` where the word does not fit: it
    /// must be a sign-extended 52-bit value or repeat its lower half.
    #[must_use]
    pub const fn same(word: u64) -> Option<Slot> {
        let widened = ((word << WORD_SHIFT) as i64 >> WORD_SHIFT) as u64;
        if widened == word {
            Some(Slot(word << WORD_SHIFT | KIND_SAME_WORD << KIND_SHIFT))
        } else if word >> 32 == word & 0xffff_ffff {
            Some(Slot(word << HIGH_SHIFT | KIND_SAME_HALF << KIND_SHIFT))
        } else {
            None
        }
    }

    /// The slot of a chunk.
    #[must_use]
    pub const fn chunk(chunk: ChunkRef) -> Slot {
        debug_assert!(chunk.place >> PLACE_BITS == 0);
        debug_assert!(chunk.length >= 1 && chunk.length <= 4096);
        Slot(
            chunk.place << PLACE_SHIFT
                | (chunk.length as u64 - 1) << LENGTH_SHIFT
                | (chunk.codec as u64) << CODEC_SHIFT
                | KIND_CHUNK << KIND_SHIFT,
        )
    }

    /// The slot of a page in the backing store.
    #[must_use]
    pub const fn backing(checksum: u32) -> Slot {
        Slot((checksum as u64) << HIGH_SHIFT | KIND_BACKING << KIND_SHIFT)
    }

    /// The slot of a page that is not held, and was dropped at a moment that the cache counts.
    #[must_use]
    pub const fn shadow(when: u64) -> Slot {
        Slot(when << WORD_SHIFT | KIND_SHADOW << KIND_SHIFT)
    }

    /// What the slot says; `None` for a word that this version never writes.
    #[must_use]
    pub fn entry(self) -> Option<Entry> {
        let high = self.0 >> HIGH_SHIFT;
        match self.0 >> KIND_SHIFT & KIND_MASK {
            KIND_EMPTY => Some(Entry::Empty),
            KIND_SAME_WORD => Some(Entry::Same((self.0 as i64 >> WORD_SHIFT) as u64)),
            KIND_SAME_HALF => Some(Entry::Same(high << 32 | high)),
            KIND_CHUNK => {
                let codec = CodecId::from_number((self.0 >> CODEC_SHIFT & CODEC_MASK) as u8)?;
                let length = (self.0 >> LENGTH_SHIFT & LENGTH_MASK) as usize + 1;
                Some(Entry::Chunk(ChunkRef {
                    place: self.0 >> PLACE_SHIFT,
                    length,
                    codec,
                }))
            }
            KIND_BACKING => Some(Entry::Backing {
                checksum: high as u32,
            }),
            KIND_SHADOW => Some(Entry::Shadow {
                when: self.0 >> WORD_SHIFT,
            }),
            _ => None,
        }
    }

    /// The slot of the same chunk at another place.
    #[must_use]
    pub const fn moved_to(self, place: u64) -> Slot {
        Slot(self.0 & ((1 << PLACE_SHIFT) - 1) | place << PLACE_SHIFT)
    }

    /// How often the chunk was aged since its page was written or read, at most [`MAX_AGE`].
    #[must_use]
    pub const fn age(self) -> u8 {
        (self.0 >> AGE_SHIFT & AGE_MASK) as u8
    }

    /// The slot of the same chunk, whose page was just read.
    #[must_use]
    const fn touched(self) -> Slot {
        Slot(self.0 & !(AGE_MASK << AGE_SHIFT))
    }

    /// Whether compressing the chunk once more was found not to pay.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        self.0 & SETTLED != 0
    }

    /// The chunk that the slot names, if it names one.
    #[must_use]
    pub fn as_chunk(self) -> Option<ChunkRef> {
        match self.entry() {
            Some(Entry::Chunk(chunk)) => Some(chunk),
            _ => None,
        }
    }
}

/// The atomic operations that the protocol needs: those of [`AtomicU64`], or of a model
/// checker's stand-in for it.
pub trait Word {
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> u64;
    /// Replaces `old` by `new` with acquire and release ordering; says whether it did.
    fn swap_if(&self, old: u64, new: u64) -> bool;
    /// Stores with release ordering.
    fn store_release(&self, value: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn load_acquire(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn swap_if(&self, old: u64, new: u64) -> bool {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    fn store_release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
}

/// Reads a slot once nobody holds it. `relax` is called while waiting.
#[inline]
pub fn peek<W: Word>(word: &W, mut relax: impl FnMut(u32)) -> Slot {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 {
            return Slot(value);
        }
        relax(attempt);
        attempt += 1;
    }
}

/// Reads a slot at once: its value, and whether somebody holds it.
#[inline]
pub fn glance<W: Word>(word: &W) -> (Slot, bool) {
    let value = word.load_acquire();
    (Slot(value & !LOCK), value & LOCK != 0)
}

/// A slot that this thread holds, and what it says. Dropped, it lets go and leaves that as
/// it is.
#[derive(Debug)]
pub struct Held<'a, W: Word> {
    word: &'a W,
    said: Slot,
}

impl<W: Word> Held<'_, W> {
    /// What the slot says.
    #[inline]
    pub fn said(&self) -> Slot {
        self.said
    }

    /// Lets go of the slot, which from now on says `new`: the commit. What it said belongs to
    /// the caller, who frees it.
    #[inline]
    pub fn commit(self, new: Slot) -> Taken {
        let taken = Taken(self.said);
        self.word.store_release(new.0);
        core::mem::forget(self);
        taken
    }

    /// Lets go of the slot after its page was read: its age starts anew.
    #[inline]
    pub fn touch(self) {
        self.word.store_release(self.said.touched().0);
        core::mem::forget(self);
    }

    /// Keeps the slot locked until [`resume`].
    #[inline]
    pub fn leave(self) {
        core::mem::forget(self);
    }
}

impl<W: Word> Drop for Held<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.word.store_release(self.said.0);
    }
}

/// What a slot said until this thread made it say something else. Whoever has this owns the
/// chunk that it names.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chunk that a slot named is lost unless it is freed"]
pub struct Taken(Slot);

impl Taken {
    /// What the slot said.
    #[inline]
    pub fn slot(&self) -> Slot {
        self.0
    }
}

/// Takes hold of a slot, waiting for others to let go.
#[inline]
pub fn lock<W: Word>(word: &W, mut relax: impl FnMut(u32)) -> Held<'_, W> {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 && word.swap_if(value, value | LOCK) {
            return Held {
                word,
                said: Slot(value),
            };
        }
        relax(attempt);
        attempt += 1;
    }
}

/// Takes hold of a slot if it says `expected` and nobody holds it.
#[inline]
pub fn try_lock<W: Word>(word: &W, expected: Slot) -> Option<Held<'_, W>> {
    // Made only where it was taken: dropping it lets go.
    word.swap_if(expected.0, expected.0 | LOCK).then(|| Held {
        word,
        said: expected,
    })
}

/// Makes a chunk's slot one older if it says `said` and nobody holds it, and returns what it
/// says then. Meant for one thread at a time, which may rely on this: between two looks that
/// find the same age, above 0, the page was neither written nor read.
#[inline]
pub fn age<W: Word>(word: &W, said: Slot) -> Option<Slot> {
    debug_assert!(said.as_chunk().is_some(), "only chunks have an age");
    if said.age() == MAX_AGE {
        return Some(said);
    }
    let older = Slot(said.0 + (1 << AGE_SHIFT));
    word.swap_if(said.0, older.0).then_some(older)
}

/// Marks the chunk of a slot as settled, if the slot says `said` and nobody holds it; returns
/// whether it did. The mark stays until the page is written again.
#[inline]
pub fn settle<W: Word>(word: &W, said: Slot) -> bool {
    debug_assert!(said.as_chunk().is_some(), "only chunks are settled");
    word.swap_if(said.0, said.0 | SETTLED)
}

/// Takes up a slot again that this thread left locked with [`Held::leave`].
#[inline]
pub fn resume<W: Word>(word: &W) -> Held<'_, W> {
    let value = word.load_acquire();
    debug_assert!(
        value & LOCK != 0,
        "only a slot that was left locked is resumed"
    );
    Held {
        word,
        said: Slot(value & !LOCK),
    }
}

/// Empties a slot of which somebody said that nobody needs it any more, if that is still so.
/// What it said belongs to the caller, who frees it; `None` where it was not so, or the slot is
/// empty already.
///
/// `still_dead` is asked, and takes the word back, while the slot is held. So it works together
/// with a store that takes the word back before its own commit: either that commit comes later
/// and stands, or it was before, and `still_dead` says no.
#[inline]
pub fn empty_if<W: Word>(
    word: &W,
    still_dead: impl FnOnce() -> bool,
    relax: impl FnMut(u32),
) -> Option<Taken> {
    let held = lock(word, relax);
    (still_dead() && held.said() != Slot::EMPTY).then(|| held.commit(Slot::EMPTY))
}

/// Makes a slot say `new` once nobody holds it: the commit of a store or a discard. What it
/// said belongs to the caller, who frees it.
#[inline]
pub fn replace<W: Word>(word: &W, new: Slot, mut relax: impl FnMut(u32)) -> Taken {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 && word.swap_if(value, new.0) {
            return Taken(Slot(value));
        }
        relax(attempt);
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_chunk_reads_back(place in 0u64..1 << PLACE_BITS, length in 1usize..=4096, codec in 0u8..7) {
            let codec = CodecId::from_number(codec).unwrap();
            let chunk = ChunkRef { place, length, codec };
            prop_assert_eq!(Slot::chunk(chunk).entry(), Some(Entry::Chunk(chunk)));
        }

        #[test]
        fn a_checksum_reads_back(checksum: u32) {
            prop_assert_eq!(Slot::backing(checksum).entry(), Some(Entry::Backing { checksum }));
        }

        #[test]
        fn a_shadow_reads_back(when in 0..SHADOW_MOMENTS) {
            prop_assert_eq!(Slot::shadow(when).entry(), Some(Entry::Shadow { when }));
        }

        #[test]
        fn a_word_that_fits_reads_back(small in -(1i64 << 51)..1i64 << 51, half: u32) {
            let repeated = u64::from(half) << 32 | u64::from(half);
            for word in [small as u64, repeated] {
                prop_assert_eq!(Slot::same(word).and_then(Slot::entry), Some(Entry::Same(word)));
            }
        }

        #[test]
        fn any_word_is_either_kept_or_refused(word: u64) {
            if let Some(slot) = Slot::same(word) {
                prop_assert_eq!(slot.entry(), Some(Entry::Same(word)));
            }
        }

        #[test]
        fn no_word_panics(value: u64) {
            let _ = Slot(value & !LOCK).entry();
        }
    }

    fn some_chunk() -> Slot {
        Slot::chunk(ChunkRef {
            place: (1 << PLACE_BITS) - 1,
            length: 4096,
            codec: CodecId::Wks,
        })
    }

    #[test]
    fn a_chunk_ages_until_it_is_touched() {
        let fresh = some_chunk();
        let word = AtomicU64::new(fresh.0);
        for expected in 1..=300 {
            let said = age(&word, glance(&word).0).unwrap();
            assert_eq!(said.age(), expected.min(i32::from(MAX_AGE)) as u8);
            assert_eq!(said.entry(), fresh.entry());
            assert!(!said.is_settled());
        }
        lock(&word, |_| ()).touch();
        assert_eq!(glance(&word), (fresh, false));
    }

    #[test]
    fn a_settled_chunk_stays_so_when_it_is_touched_or_moved() {
        let word = AtomicU64::new(some_chunk().0);
        let old = age(&word, some_chunk()).unwrap();
        assert!(settle(&word, old));
        lock(&word, |_| ()).touch();
        let said = glance(&word).0;
        assert_eq!((said.age(), said.is_settled()), (0, true));
        assert!(said.moved_to(7).is_settled());
        assert_eq!(said.entry(), some_chunk().entry());
    }

    #[test]
    fn a_slot_that_is_held_or_says_something_else_is_left_alone() {
        let word = AtomicU64::new(some_chunk().0);
        let held = lock(&word, |_| ());
        assert_eq!(age(&word, some_chunk()), None);
        assert!(!settle(&word, some_chunk()));
        drop(held);
        assert_eq!(age(&word, some_chunk().moved_to(1)), None);
        assert!(!settle(&word, some_chunk().moved_to(1)));
        assert_eq!(glance(&word), (some_chunk(), false));
    }

    #[test]
    fn a_wide_word_is_refused() {
        assert_eq!(Slot::same(0x0123_4567_89ab_cdef), None);
    }
}
