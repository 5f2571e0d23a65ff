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
//! +---------------------------+------------------+-+-+---------+------+-+
//! | checksum of the page      | 0                |D|0| 0       | kind |L|  transit
//! +---------------------------+------------------+-+-+---------+------+-+
//! | when the page was evicted (52 bits)              | 0       | kind |L|  shadow
//! +--------------------------------------------------+---------+------+-+
//! ```
//!
//! The age of a chunk is 7 bits: how often [`age`] found that its page was neither read nor
//! written since. `S`, the bit above them, excludes the chunk from recompression: it was tried,
//! and did not pay.
//!
//! An empty slot is 0. `L` is the lock bit, `D` says that a page in transit was freed.
//!
//! # States and who changes them
//!
//! ```text
//!                         replace (a write)
//!            ┌──────────────────────────────────────────────┐
//!            ▼                                              │
//!        ┌───────┐  replace   ┌───────────────────────────────────────────────┐
//!        │ empty │ ─────────► │ held: same-filled, chunk, backing; for a cache │
//!        │       │ ◄───────── │ also shadow                                    │
//!        └───────┘ empty      └───────────────────────────────────────────────┘
//!          │   ▲                │ depart                       ▲           ▲
//!          │   │ arrive: freed  ▼                              │           │
//!   depart │ ┌────────────────────┐ arrive: written ► backing  │           │
//!          └►│ transit            │ ───────────────────────────┘           │
//!            │       D ◄── empty  │ arrive: failed ► the old value ────────┘
//!            └────────────────────┘
//! ```
//!
//! Every arrow is one atomic change of the word, made by [`replace`], [`empty`], [`depart`],
//! [`arrive`] or [`SlotGuard::commit`]. Whoever makes it gets the old value as [`Taken`],
//! owns the chunk that it names, and only then frees it.
//!
//! **Locked.** `L` is held by whoever copies or restores the chunk, moves it, or checks whether
//! the page is dead. It keeps the slot's value from being changed, and so the chunk from being
//! freed. It is held for microseconds: the holder does no I/O, does not sleep, takes no memory
//! that it would have to wait for, and is not preempted if others spin for it
//! ([`Host::pin`](crate::Host::pin)). At most one slot is held by a thread at a time. An arena's
//! lock may be taken while a slot is held, never the other way round.
//!
//! **In transit.** The page is being written to the backing store. The slot is unlocked: its old
//! value belongs to whoever called [`depart`], with the chunk, which stays where it is in case the
//! transfer fails. Until [`arrive`], the slot's kind is transit:
//!
//! | meanwhile | |
//! |---|---|
//! | a free | marks the page as dead and leaves; `arrive` empties the slot |
//! | a second free | finds the mark, and nothing to do |
//! | a write | is refused with [`InTransit`]: its caller waits for `arrive`, whoever frees the page meanwhile, since two transfers of a page must not overtake one another |
//! | a read | waits likewise; of a dead page it reads zeros |
//! | the evacuator | finds that the old chunk's owner does not name it, and leaves it |
//! | the recompressor | skips it |
//!
//! **Races that are allowed.** A slot that is loaded without its lock ([`load`], [`load_unlocked`]) may be
//! out of date at once; whoever acts on it does so by an operation that fails if it is
//! ([`try_lock`], [`age`], [`mark_no_recompress`]). A page read from the backing store may be overwritten
//! meanwhile: the reader compares the page with the checksum that it saw, and loads the slot
//! again if that differs. A backing store that verifies its pages says itself that one was written
//! meanwhile.
//!
//! # Contexts
//!
//! | function | may be called | waits for |
//! |---|---|---|
//! | [`load`], [`try_lock`], [`age`], [`mark_no_recompress`] | anywhere | nobody |
//! | [`load_unlocked`], [`lock`], [`replace`], [`empty`], [`depart`], [`arrive`] | with preemption off and under spinlocks, but not from an interrupt, which may have interrupted a holder | holders of the slot |
//! | [`empty_if`] | the same, and pinned, as it is a holder | holders of the slot |
//!
//! None of them allocates, sleeps or waits for I/O.

mod protocol;
#[cfg(test)]
mod tests;

pub use protocol::{
    Arrival, Departure, Emptied, InTransit, SlotGuard, Taken, Word, age, arrive, depart, empty,
    empty_if, load, load_unlocked, lock, mark_no_recompress, replace, try_lock,
};

use crate::codec::CodecId;

const LOCK: u64 = 1;
const KIND_SHIFT: u32 = 1;
const KIND_MASK: u64 = 0b111;
const AGE_SHIFT: u32 = 4;
const AGE_MASK: u64 = 0x7f;
const NO_RECOMPRESS: u64 = 1 << 11;
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
const KIND_TRANSIT: u64 = 6;

/// Set in the slot of a page in transit that was freed. Apart from the bits of a chunk's age,
/// which a reader clears as it unlocks (5 of [`Slot`]).
const DEAD: u64 = 1 << 12;

/// The eviction clock in a shadow counts modulo this.
pub const EVICTION_CLOCK_RANGE: u64 = 1 << (64 - WORD_SHIFT);

/// Bits of a place: pools of up to 2^36 granules of 16 bytes, 1 TiB.
pub const PLACE_BITS: u32 = 64 - PLACE_SHIFT;

/// The greatest age of a slot, which it keeps.
pub const MAX_AGE: u8 = AGE_MASK as u8;

/// A slot's value, without the lock bit. Of the word:
///
/// 1. While it is locked, nobody but the holder changes it.
/// 2. No two slots name the same chunk. One that is named is complete, and its header names the slot's page.
/// 3. Whoever frees or moves a chunk holds the slot that names it, or has [`Taken`] that slot's value.
/// 4. While a page is in transit, its old value is with the [`Departure`], and others only mark it as dead.
/// 5. Bits 4 to 11 are 0 in the slot of anything but a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Slot(u64);

/// What a slot's value means.
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
    /// The page is being written to the backing store.
    Transit {
        /// It was freed meanwhile: once it has arrived, its slot is empty.
        dead: bool,
    },
    /// The page is not held, but was: a cache evicted it, or bypassed it.
    Shadow {
        /// The cache's eviction clock then, below [`EVICTION_CLOCK_RANGE`].
        evicted_at: u64,
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

    /// The slot of a page that repeats `word`, or `None` if the word does not fit: it
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

    /// The slot of a page that is being written to the backing store.
    const fn transit(checksum: u32) -> Slot {
        Slot((checksum as u64) << HIGH_SHIFT | KIND_TRANSIT << KIND_SHIFT)
    }

    /// Whether the page is being written to the backing store.
    #[must_use]
    #[inline]
    pub const fn is_in_transit(self) -> bool {
        self.0 >> KIND_SHIFT & KIND_MASK == KIND_TRANSIT
    }

    /// The slot of a page that is not held, and was was evicted at this time of the eviction clock.
    #[must_use]
    pub const fn shadow(evicted_at: u64) -> Slot {
        Slot(evicted_at << WORD_SHIFT | KIND_SHADOW << KIND_SHIFT)
    }

    /// What the value means; `None` for a word that this version never writes.
    #[must_use]
    pub fn entry(self) -> Option<Entry> {
        let high = self.0 >> HIGH_SHIFT;
        match self.0 >> KIND_SHIFT & KIND_MASK {
            KIND_EMPTY => Some(Entry::Empty),
            KIND_SAME_WORD => Some(Entry::Same((self.0 as i64 >> WORD_SHIFT) as u64)),
            KIND_SAME_HALF => Some(Entry::Same(high << 32 | high)),
            KIND_CHUNK => self.as_chunk().map(Entry::Chunk),
            KIND_BACKING => Some(Entry::Backing {
                checksum: high as u32,
            }),
            KIND_TRANSIT => Some(Entry::Transit {
                dead: self.0 & DEAD != 0,
            }),
            KIND_SHADOW => Some(Entry::Shadow {
                evicted_at: self.0 >> WORD_SHIFT,
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

    /// Whether recompressing the chunk was found not to pay.
    #[must_use]
    pub const fn no_recompress(self) -> bool {
        self.0 & NO_RECOMPRESS != 0
    }

    /// The chunk that the slot names, if it names one.
    #[must_use]
    #[inline]
    pub const fn as_chunk(self) -> Option<ChunkRef> {
        if self.0 >> KIND_SHIFT & KIND_MASK != KIND_CHUNK {
            return None;
        }
        let Some(codec) = CodecId::from_number((self.0 >> CODEC_SHIFT & CODEC_MASK) as u8) else {
            return None;
        };
        Some(ChunkRef {
            place: self.0 >> PLACE_SHIFT,
            length: (self.0 >> LENGTH_SHIFT & LENGTH_MASK) as usize + 1,
            codec,
        })
    }
}
