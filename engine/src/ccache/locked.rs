//! The cache's lock, and what is done once it is released: chunks are freed.
//!
//! A slot stops naming its chunk under the lock. From then on nobody finds the chunk, but its place is
//! taken until it is freed, which takes an arena's lock and touches a frame: for that long only the thread
//! that evicted the page, or dropped it, waits.

use core::ops::{Deref, DerefMut};

use lock_api::MutexGuard;

use super::cache::Ccache;
use super::guarded::Guarded;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot::{Entry, Slot, Taken};
use crate::store::{CompressedPage, Store};

/// Chunks that await the end of a lock, at most. One more has all freed under it: if a block of slots is
/// wanted, many pages may have to go.
pub(super) const MOST_REMOVED: usize = 16;

/// What slots have held that nobody needs any more. Dropped, it is freed.
struct Removed<'a, H: Host, F: FrameMemory, S: SlotMemory> {
    store: &'a Store<H, F, S>,
    taken: [Option<Taken>; MOST_REMOVED],
    len: usize,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Removed<'_, H, F, S> {
    fn add(&mut self, taken: Taken) {
        if let Some(Entry::Empty | Entry::Shadow { .. }) = taken.slot().entry() {
            return;
        }
        if self.len == MOST_REMOVED {
            self.free();
        }
        self.taken[self.len] = Some(taken);
        self.len += 1;
    }

    fn free(&mut self) {
        let taken = self.taken[..self.len].iter_mut();
        self.store.release_taken(taken.filter_map(Option::take));
        self.len = 0;
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Drop for Removed<'_, H, F, S> {
    fn drop(&mut self) {
        if self.len > 0 {
            self.free();
        }
    }
}

/// The cache's lock, held by somebody who may remove pages. Dropped, it releases the lock, then frees
/// what the pages were held in.
pub(super) struct Locked<'a, H: Host, F: FrameMemory, S: SlotMemory> {
    // Fields are dropped in this order.
    guarded: MutexGuard<'a, H::Lock, Guarded>,
    removed: Removed<'a, H, F, S>,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Locked<'_, H, F, S> {
    /// Stores `new`, which names no chunk, in a slot. Returns whether that was done: not while
    /// somebody reads its page.
    pub(super) fn clear(&mut self, slot: u32, new: Slot) -> bool {
        let taken = self.removed.store.try_clear(slot, new);
        taken.map(|taken| self.removed.add(taken)).is_some()
    }

    /// Commits to a slot what was stored for it. Returns whether that was done: not while somebody
    /// reads what it replaces.
    pub(super) fn commit(
        &mut self,
        compressed: &CompressedPage<'_>,
        slot: u32,
        placed: Slot,
    ) -> bool {
        let store = self.removed.store;
        let taken = store.try_commit_chunk(compressed, slot, placed);
        taken.map(|taken| self.removed.add(taken)).is_some()
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Deref for Locked<'_, H, F, S> {
    type Target = Guarded;

    fn deref(&self) -> &Guarded {
        &self.guarded
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> DerefMut for Locked<'_, H, F, S> {
    fn deref_mut(&mut self) -> &mut Guarded {
        &mut self.guarded
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Takes the lock to look, or to move slots between lists.
    pub(super) fn lock(&self) -> MutexGuard<'_, H::Lock, Guarded> {
        self.guarded.lock()
    }

    /// Takes the lock to remove pages.
    pub(super) fn lock_to_remove(&self) -> Locked<'_, H, F, S> {
        Locked {
            guarded: self.guarded.lock(),
            removed: Removed {
                store: &self.store,
                taken: [const { None }; MOST_REMOVED],
                len: 0,
            },
        }
    }
}
