//! The operations by which threads change a slot. See the documentation of [`super`] for the
//! states, the races that are allowed, and who may call what.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{AGE_SHIFT, DEAD, HIGH_SHIFT, LOCK, MAX_AGE, NO_RECOMPRESS, Slot};

/// The atomic operations that the protocol needs: those of [`AtomicU64`], or of a model
/// checker's stand-in for it.
pub trait Word {
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> u64;
    /// Replaces `old` by `new` with acquire and release ordering; says whether it did.
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

/// Reads a slot once nobody holds it. `backoff` is called while waiting.
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

/// Reads a slot at once: its value, and whether somebody holds it.
#[inline]
pub fn load<W: Word>(word: &W) -> (Slot, bool) {
    let value = word.load_acquire();
    (Slot(value & !LOCK), value & LOCK != 0)
}

/// A slot that this thread holds, and what it says. Dropped, it lets go and leaves that as
/// it is.
#[derive(Debug)]
pub struct SlotGuard<'a, W: Word> {
    word: &'a W,
    current: Slot,
}

impl<W: Word> SlotGuard<'_, W> {
    /// What the slot says.
    #[inline]
    pub fn current(&self) -> Slot {
        self.current
    }

    /// Lets go of the slot, which from now on says `new`: the commit. What it said belongs to
    /// the caller, who frees it.
    #[inline]
    pub fn commit(self, new: Slot) -> Taken {
        let taken = Taken(self.current);
        self.word.store_release(new.0);
        core::mem::forget(self);
        taken
    }

    /// Lets go of the slot after its page was read: its age starts anew.
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

/// Takes hold of a slot if it says `expected` and nobody holds it.
#[inline]
pub fn try_lock<W: Word>(word: &W, expected: Slot) -> Option<SlotGuard<'_, W>> {
    // Made only where it was taken: dropping it lets go.
    word.compare_exchange(expected.0, expected.0 | LOCK)
        .then(|| SlotGuard {
            word,
            current: expected,
        })
}

/// Makes a chunk's slot one older if it says `said` and nobody holds it, and returns what it
/// says then. Meant for one thread at a time, which may rely on this: between two looks that
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

/// Marks the chunk of a slot as settled, if the slot says `said` and nobody holds it; returns
/// whether it did. The mark stays until the page is written again.
#[inline]
pub fn mark_no_recompress<W: Word>(word: &W, current: Slot) -> bool {
    debug_assert!(current.as_chunk().is_some(), "only chunks are marked");
    word.compare_exchange(current.0, current.0 | NO_RECOMPRESS)
}

/// The page of a slot is on its way to the backing store: try again once it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page is on its way to the backing store")]
pub struct InTransit;

/// Makes a slot say `new` once nobody holds it: the commit of a store. What it said belongs to
/// the caller, who frees it.
///
/// # Errors
/// [`InTransit`]; the slot then says what it said.
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
    /// The slot is empty; what it said belongs to the caller, who frees it.
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

/// What a slot is to say when its page was freed; `None` where that changes nothing.
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

/// Frees the page of a slot, once nobody holds it.
#[inline]
pub fn empty<W: Word>(word: &W, backoff: impl FnMut(u32)) -> Emptied {
    change(word, backoff, emptied).map_or(Emptied::Nothing, emptied_from)
}

/// Frees a page of which somebody said that nobody needs it any more, if that is still so.
///
/// `still_dead` is asked, and takes the word back, while the slot is held. So it works together
/// with a store that takes the word back before its own commit: either that commit comes later
/// and stands, or it was before, and `still_dead` says no.
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

/// What a slot said until its page set out for the backing store. It must be handed to
/// [`arrive`]: until then nobody else can do anything with the page.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the page is in transit until this is handed to `arrive`"]
pub struct Departure(Slot);

/// Makes a page set out for the backing store: from now on its slot says that it is in transit,
/// with this checksum of the page's 4096 bytes.
///
/// # Errors
/// [`InTransit`] where it is on its way already.
#[inline]
pub fn depart<W: Word>(
    word: &W,
    checksum: u32,
    backoff: impl FnMut(u32),
) -> Result<Departure, InTransit> {
    replace(word, Slot::transit(checksum), backoff).map(|taken| Departure(taken.0))
}

/// How a page's way to the backing store ended. What its slot had said before belongs to the
/// caller, who frees it, but where it says that again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chunk that a slot named is lost unless it is freed"]
pub enum Arrival {
    /// The slot says that the page lies in the backing store.
    Arrived(Taken),
    /// The page was freed on its way; its slot is empty.
    Freed(Taken),
    /// The transfer failed; the slot says what it said before.
    Returned,
}

/// Ends a page's way to the backing store, which has `written` the page or failed to.
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

/// Changes what a slot says once nobody holds it, and returns what it said; `None` where `to`
/// wants no change.
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
