//! The operations by which threads change a slot. See the documentation of [`super`] for the
//! states, the races that are allowed, and who may call what.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{AGE_SHIFT, DEAD, HIGH_SHIFT, LOCK, MAX_AGE, NO_RECOMPRESS, Slot};

/// The atomic operations that the protocol needs: those of [`AtomicU64`], or of a model
/// checker's stand-in for it.
pub trait Word {
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> u64;
    /// Replaces `old` by `new` with acquire and release ordering; returns whether it did.
    fn compare_exchange(&self, old: u64, new: u64) -> bool;
    /// Stores with release ordering.
    fn store_release(&self, value: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn load_acquire(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> bool {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    fn store_release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
}

/// Loads a slot once it is unlocked. `backoff` is called while waiting.
#[inline]
pub fn load_unlocked<W: Word>(word: &W, mut backoff: impl FnMut(u32)) -> Slot {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 {
            return Slot(value);
        }
        backoff(attempt);
        attempt += 1;
    }
}

/// Loads a slot at once: its value, and whether it is locked.
#[inline]
pub fn load<W: Word>(word: &W) -> (Slot, bool) {
    let value = word.load_acquire();
    (Slot(value & !LOCK), value & LOCK != 0)
}

/// A slot that this thread has locked, and its value. Dropped, it unlocks the slot and leaves
/// the value unchanged.
#[derive(Debug)]
pub struct SlotGuard<'a, W: Word> {
    word: &'a W,
    current: Slot,
}

impl<W: Word> SlotGuard<'_, W> {
    /// The slot's value.
    #[inline]
    pub fn current(&self) -> Slot {
        self.current
    }

    /// Stores `new` and unlocks the slot: the commit. The old value belongs to the caller, who
    /// frees what it names.
    #[inline]
    pub fn commit(self, new: Slot) -> Taken {
        let taken = Taken(self.current);
        self.word.store_release(new.0);
        core::mem::forget(self);
        taken
    }

    /// Unlocks the slot after its page was read: its age restarts at 0.
    #[inline]
    pub fn touch(self) {
        self.word.store_release(self.current.touched().0);
        core::mem::forget(self);
    }
}

impl<W: Word> Drop for SlotGuard<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.word.store_release(self.current.0);
    }
}

/// The old value of a slot that this thread has replaced. Whoever has this owns the chunk that
/// it names.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chunk that a slot named is lost unless it is freed"]
pub struct Taken(Slot);

impl Taken {
    /// The old value.
    #[inline]
    pub fn slot(&self) -> Slot {
        self.0
    }
}

/// Locks a slot, waiting for others to unlock it.
#[inline]
pub fn lock<W: Word>(word: &W, mut backoff: impl FnMut(u32)) -> SlotGuard<'_, W> {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 && word.compare_exchange(value, value | LOCK) {
            return SlotGuard {
                word,
                current: Slot(value),
            };
        }
        backoff(attempt);
        attempt += 1;
    }
}

/// Locks a slot if its value is `expected` and it is unlocked.
#[inline]
pub fn try_lock<W: Word>(word: &W, expected: Slot) -> Option<SlotGuard<'_, W>> {
    // Made only if the slot was locked: dropping it unlocks.
    word.compare_exchange(expected.0, expected.0 | LOCK)
        .then(|| SlotGuard {
            word,
            current: expected,
        })
}

/// Makes a chunk's slot one older if its value is `current` and it is unlocked, and returns the
/// new value. Meant for one thread at a time, which may rely on this: between two loads that
/// find the same age, above 0, the page was neither written nor read.
#[inline]
pub fn age<W: Word>(word: &W, current: Slot) -> Option<Slot> {
    debug_assert!(current.as_chunk().is_some(), "only chunks have an age");
    if current.age() == MAX_AGE {
        return Some(current);
    }
    let older = Slot(current.0 + (1 << AGE_SHIFT));
    word.compare_exchange(current.0, older.0).then_some(older)
}

/// Marks the chunk of a slot as not worth recompressing, if the slot's value is `current` and it
/// is unlocked; returns whether it did. The mark stays until the page is written again.
#[inline]
pub fn mark_no_recompress<W: Word>(word: &W, current: Slot) -> bool {
    debug_assert!(current.as_chunk().is_some(), "only chunks are marked");
    word.compare_exchange(current.0, current.0 | NO_RECOMPRESS)
}

/// The page of a slot is being written to the backing store: try again once it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page is being written to the backing store")]
pub struct InTransit;

/// Replaces a slot's value by `new` once it is unlocked: the commit of a store. The old value
/// belongs to the caller, who frees what it names.
///
/// # Errors
/// [`InTransit`]; the slot is then unchanged.
#[inline]
pub fn replace<W: Word>(word: &W, new: Slot, backoff: impl FnMut(u32)) -> Result<Taken, InTransit> {
    change(word, backoff, |current| {
        (!current.is_in_transit()).then_some(new)
    })
    .map(Taken)
    .ok_or(InTransit)
}

/// What emptying a slot came to.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chunk that a slot named is lost unless it is freed"]
pub enum Emptied {
    /// The slot is empty; its old value belongs to the caller, who frees what it names.
    Taken(Taken),
    /// The page is in transit: its slot will be empty once it has arrived.
    Marked,
    /// The slot was empty, or about to be, already.
    Nothing,
}

impl Emptied {
    /// Whether the page held something until now.
    #[inline]
    pub fn is_freed(&self) -> bool {
        !matches!(self, Emptied::Nothing)
    }
}

/// The value of a slot whose page is freed; `None` if that changes nothing.
#[inline]
fn emptied(current: Slot) -> Option<Slot> {
    if current.is_in_transit() {
        let dead = Slot(current.0 | DEAD);
        (current != dead).then_some(dead)
    } else {
        (current != Slot::EMPTY).then_some(Slot::EMPTY)
    }
}

#[inline]
fn emptied_from(current: Slot) -> Emptied {
    if current.is_in_transit() {
        Emptied::Marked
    } else {
        Emptied::Taken(Taken(current))
    }
}

/// Frees the page of a slot, once it is unlocked.
#[inline]
pub fn empty<W: Word>(word: &W, backoff: impl FnMut(u32)) -> Emptied {
    change(word, backoff, emptied).map_or(Emptied::Nothing, emptied_from)
}

/// Frees a page that was reported dead, if it still is.
///
/// `still_dead` is called, and clears the report, while the slot is locked. A store clears the
/// report before its own commit: so either that commit comes later and stands, or it came first,
/// and `still_dead` returns false.
#[inline]
pub fn empty_if<W: Word>(
    word: &W,
    still_dead: impl FnOnce() -> bool,
    backoff: impl FnMut(u32),
) -> Emptied {
    let held = lock(word, backoff);
    let dead = still_dead();
    match emptied(held.current()) {
        Some(new) if dead => emptied_from(held.commit(new).0),
        _ => Emptied::Nothing,
    }
}

/// The old value of a slot whose page is being written to the backing store. It must be handed to
/// [`arrive`]: until then nobody else can do anything with the page.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the page is in transit until this is handed to `arrive`"]
pub struct Departure(Slot);

/// Begins a page's write to the backing store: from now on its slot is in transit, with this
/// checksum of the page's 4096 bytes.
///
/// # Errors
/// [`InTransit`] if it is in transit already.
#[inline]
pub fn depart<W: Word>(
    word: &W,
    checksum: u32,
    backoff: impl FnMut(u32),
) -> Result<Departure, InTransit> {
    replace(word, Slot::transit(checksum), backoff).map(|taken| Departure(taken.0))
}

/// How a page's write to the backing store ended. The old value of its slot belongs to the
/// caller, who frees what it names, unless the slot has that value again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chunk that a slot named is lost unless it is freed"]
pub enum Arrival {
    /// The page is in the backing store, and the slot says so.
    Arrived(Taken),
    /// The page was freed meanwhile; its slot is empty.
    Freed(Taken),
    /// The transfer failed; the slot has its old value again.
    Returned,
}

/// Ends a page's write to the backing store, which has `written` the page or failed to.
#[inline]
pub fn arrive<W: Word>(
    word: &W,
    departure: Departure,
    written: bool,
    backoff: impl FnMut(u32),
) -> Arrival {
    let before = departure.0;
    let way = change(word, backoff, |current| {
        debug_assert!(current.is_in_transit(), "only `arrive` ends a transit");
        Some(if current.0 & DEAD != 0 {
            Slot::EMPTY
        } else if written {
            Slot::backing((current.0 >> HIGH_SHIFT) as u32)
        } else {
            before
        })
    });
    match way {
        Some(current) if current.0 & DEAD != 0 => Arrival::Freed(Taken(before)),
        _ if written => Arrival::Arrived(Taken(before)),
        _ => Arrival::Returned,
    }
}

/// Changes a slot's value once it is unlocked, and returns the old one; `None` if `to` wants no
/// change.
#[inline]
fn change<W: Word>(
    word: &W,
    mut backoff: impl FnMut(u32),
    to: impl Fn(Slot) -> Option<Slot>,
) -> Option<Slot> {
    let mut attempt = 0;
    loop {
        let value = word.load_acquire();
        if value & LOCK == 0 {
            let new = to(Slot(value))?;
            if word.compare_exchange(value, new.0) {
                return Some(Slot(value));
            }
        }
        backoff(attempt);
        attempt += 1;
    }
}
