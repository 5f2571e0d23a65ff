//! Admission: which pages the cache keeps.
//!
//! A page that was read for the first time may never be read again: a scan is made of nothing
//! else. So it is admitted only while the kernel reclaims page cache, and then to the inactive list,
//! from which it is evicted unless it is accessed again. Otherwise it is bypassed, and a shadow is
//! left in its place. An access that finds a shadow is a refault: the page is admitted, and to the
//! active list at once if fewer pages were evicted meanwhile than that list has (the refault distance
//! of Linux' `mm/workingset.c`).
//!
//! A page that comes back after more pages than a full cache holds would, in a loop, push out
//! another that comes back sooner, and so all would miss forever. Only one in eight of them is
//! admitted (bimodal insertion; Qureshi et al., "Adaptive Insertion Policies for High Performance Caching",
//! ISCA 2007): a part of the loop stays.
//!
//! Pages that do not compress are never admitted: the page cache holds them as well, and faster.

use super::block::List;
use super::cache::Ccache;
use super::guarded::Guarded;
use super::index::FileId;
use super::locked::Locked;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::Page;
use crate::slot::{EVICTION_CLOCK_RANGE, Slot};
use crate::store::{CompressedPage, SlotContents, Worker};

/// How often pages are evicted for a page before it is bypassed.
const TRIES: usize = 64;

/// Pages that are evicted at once to make room.
const BATCH: usize = 8;

/// Whether to keep a page that was read from SOURCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand it to [`Ccache::insert`].
    Admit,
    /// Do not keep it.
    Bypass,
}

/// Why a page was read from SOURCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The kernel requested it, and has it now.
    Demand,
    /// It is a neighbour of one that the kernel requested.
    Readahead,
}

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The page is in the cache.
    Cached,
    /// It does not compress.
    Incompressible,
    /// There was no room, or the page was no longer current.
    Bypassed,
}

/// The cache has no room for a page that it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache is full: its limit is reached by pages that cannot be dropped")]
pub struct NoRoom;

/// True for an eighth of all numbers, spread evenly.
fn one_in_eight(number: u32) -> bool {
    number.wrapping_mul(0x9e37_79b1) >> 29 == 0
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Whether to admit a page that the kernel requested and that was not held. To be called once
    /// a page, before it is compressed. `worthwhile` says whether reading the page again would take
    /// longer than compressing it: if not, it is not admitted at its first read.
    pub fn should_admit(&self, file: FileId, index: u64, worthwhile: bool) -> Decision {
        let mut guarded = self.lock_to_remove();
        guarded.index.access_clock = guarded.index.access_clock.wrapping_add(1);
        let found = guarded.index.find(file, index);
        let mut too_far = false;
        if let Some((slot, list)) = found {
            let distance = guarded
                .index
                .access_clock
                .wrapping_sub(guarded.index.last_access(slot));
            too_far = guarded.full && u64::from(distance) > guarded.index.held();
            guarded.index.set_accessed(slot);
            if list != List::Shadows {
                // Somebody else has inserted it meanwhile.
                return Decision::Bypass;
            }
            guarded.counts.refaults += 1;
            guarded.balance.refault();
        }
        let clock = guarded.index.access_clock;
        let usefulness = &mut guarded.index.files.get_mut(file.0).usefulness;
        let wanted = match found {
            Some(_) => !too_far || one_in_eight(clock),
            None => self.reclaims() && !usefulness.is_stream() && worthwhile,
        };
        if wanted && !usefulness.should_skip() {
            return Decision::Admit;
        }
        if wanted || found.is_none() && self.reclaims() {
            guarded.counts.bypassed += 1;
        }
        self.remember(&mut guarded, file, index);
        Decision::Bypass
    }

    /// Whether to admit a page that was read ahead: while there is room, and if pages are admitted
    /// at their first read or it was known before.
    pub fn should_admit_readahead(&self, file: FileId, index: u64) -> Decision {
        let mut guarded = self.lock();
        let known = match guarded.index.find(file, index) {
            Some((_, List::Shadows)) => true,
            Some(_) => return Decision::Bypass,
            None => false,
        };
        let full = guarded.full;
        let usefulness = &mut guarded.index.files.get_mut(file.0).usefulness;
        let wanted = known || self.reclaims() && !usefulness.is_stream();
        if wanted && !full && !usefulness.should_skip() {
            Decision::Admit
        } else {
            Decision::Bypass
        }
    }

    /// Whether pages that are read ahead may be admitted at all: there is room.
    pub fn has_room(&self) -> bool {
        !self.lock().full
    }

    /// The slot of a page, made if there is none; `None` if there is no room for it.
    fn find_or_make(&self, guarded: &mut Guarded, file: FileId, index: u64) -> Option<u32> {
        let populate = |slot| self.store.populate_slot(slot);
        guarded.index.find_or_make(file, index, populate)
    }

    /// Leaves a shadow of a page that is not held.
    fn remember(&self, guarded: &mut Locked<'_, H, F, S>, file: FileId, index: u64) {
        let Some(slot) = self.find_or_make(guarded, file, index) else {
            return;
        };
        if matches!(guarded.index.list_of(slot), List::None | List::Shadows) {
            self.shadow(guarded, slot);
            guarded.index.set_accessed(slot);
        }
    }

    /// Makes a slot a shadow, whatever it was. Returns whether that was done: not while somebody
    /// reads its page, if it has one.
    pub(super) fn shadow(&self, guarded: &mut Locked<'_, H, F, S>, slot: u32) -> bool {
        let eviction_clock = guarded.index.eviction_clock;
        let shadow = Slot::shadow(eviction_clock % EVICTION_CLOCK_RANGE);
        if !guarded.clear(slot, shadow) {
            return false;
        }
        guarded.index.eviction_clock = eviction_clock.wrapping_add(1);
        guarded.index.move_to(slot, List::Shadows);
        self.trim(guarded);
        true
    }

    /// Inserts a page. `is_current` is called under the cache's lock: it returns whether the page is
    /// still what the file has there. Whoever changes the file makes it false before they call
    /// [`invalidate`](Self::invalidate).
    pub fn insert(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &Page,
        read: Read,
        is_current: impl Fn() -> bool,
    ) -> Inserted {
        let compressed = self.store.compress_page(worker, page);
        let raw = compressed.is_incompressible();
        let mut guarded = self.lock_to_remove();
        guarded.index.files.get_mut(file.0).usefulness.tried(raw);
        if !is_current() {
            return Inserted::Bypassed;
        }
        if raw {
            guarded.counts.bypassed += 1;
            self.remember(&mut guarded, file, index);
            return Inserted::Incompressible;
        }
        let Some(slot) = self.find_or_make(&mut guarded, file, index) else {
            return Inserted::Bypassed;
        };
        let to = match guarded.index.list_of(slot) {
            List::None => {
                guarded.index.set_never_accessed(slot);
                List::Inactive
            }
            List::Shadows if read == Read::Readahead => List::Inactive,
            List::Shadows => self.refault_to(&guarded, slot),
            // Somebody else has inserted it meanwhile, or is about to.
            List::Inactive | List::Active | List::Pinned => return Inserted::Cached,
            List::Reserved => return Inserted::Bypassed,
        };
        guarded.index.move_to(slot, List::Reserved);
        self.limit_pool(&guarded);
        drop(guarded);
        let placed = self.evict_and_place(slot, &compressed);
        let mut guarded = self.lock_to_remove();
        // Whoever drops or pins the page takes the reservation away. Its slot may be another page's
        // then, or reserved again: by somebody who inserts the same page, if it is still current.
        let reserved = guarded.index.find(file, index) == Some((slot, List::Reserved));
        let wanted = placed.filter(|_| reserved && is_current());
        if !wanted.is_some_and(|placed| guarded.commit(&compressed, slot, placed)) {
            if reserved {
                self.shadow(&mut guarded, slot);
            }
            drop(guarded);
            if let Some(placed) = placed {
                self.store.release_chunk(placed);
            }
            return Inserted::Bypassed;
        }
        guarded.counts.admitted += 1;
        guarded.index.move_to(slot, to);
        if read == Read::Demand {
            guarded.index.set_accessed(slot);
        }
        self.trim(&mut guarded);
        Inserted::Cached
    }

    /// The list for a page that comes back to where its shadow lies.
    fn refault_to(&self, guarded: &Guarded, slot: u32) -> List {
        let SlotContents::Absent(current) = self.store.slot_contents(slot) else {
            return List::Inactive;
        };
        let Some(crate::slot::Entry::Shadow { evicted_at }) = current.entry() else {
            return List::Inactive;
        };
        let distance = guarded.index.eviction_clock.wrapping_sub(evicted_at) % EVICTION_CLOCK_RANGE;
        if distance <= guarded.index.lists.len(List::Active) {
            List::Active
        } else {
            List::Inactive
        }
    }

    /// Holds a page that must not be dropped: one that is dirty, or the only copy. It replaces
    /// what was held of it, and stays until [`unpin`](Self::unpin), or it is forgotten.
    ///
    /// # Errors
    /// [`NoRoom`]; what was held of it before is still held.
    pub fn pin(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &Page,
    ) -> Result<(), NoRoom> {
        let compressed = self.store.compress_page(worker, page);
        let mut guarded = self.lock_to_remove();
        let slot = match self.find_or_make(&mut guarded, file, index) {
            Some(slot) => slot,
            None if self.free_a_block(&mut guarded) => {
                self.find_or_make(&mut guarded, file, index).ok_or(NoRoom)?
            }
            None => return Err(NoRoom),
        };
        let before = guarded.index.list_of(slot);
        // At once, so that it stays where it is while room is made; who has reserved it lets go of it.
        guarded.index.move_to(slot, List::Pinned);
        self.limit_pool(&guarded);
        drop(guarded);
        let Some(placed) = self.evict_and_place(slot, &compressed) else {
            self.unpin_unplaced(file, index, slot, before);
            return Err(NoRoom);
        };
        let mut attempt = 0;
        loop {
            let mut guarded = self.lock_to_remove();
            // Whoever drops the page meanwhile does so after it was pinned.
            let dropped = guarded
                .index
                .find(file, index)
                .is_none_or(|(at, _)| at != slot);
            if dropped {
                drop(guarded);
                self.store.release_chunk(placed);
                return Ok(());
            }
            if guarded.commit(&compressed, slot, placed) {
                guarded.index.move_to(slot, List::Pinned);
                guarded.index.set_accessed(slot);
                guarded.counts.writes += 1;
                return Ok(());
            }
            // Somebody reads what it replaces.
            drop(guarded);
            self.store.host().backoff(attempt);
            attempt += 1;
        }
    }

    /// Moves a page that could not be pinned back to the list that it was on.
    fn unpin_unplaced(&self, file: FileId, index: u64, slot: u32, before: List) {
        let mut guarded = self.lock_to_remove();
        if guarded.index.find(file, index) != Some((slot, List::Pinned)) {
            return;
        }
        if before == List::Reserved {
            // Whoever had reserved it has let go of it, or will.
            self.shadow(&mut guarded, slot);
        } else {
            guarded.index.move_to(slot, before);
        }
    }

    /// A pinned page was written out: it may be dropped from now on.
    pub fn unpin(&self, file: FileId, index: u64) {
        let mut guarded = self.lock();
        if let Some((slot, List::Pinned)) = guarded.index.find(file, index) {
            guarded.index.move_to(slot, List::Inactive);
        }
    }

    /// Stores a page's chunk for a slot; takes the lock only if others have to be evicted.
    fn evict_and_place(&self, slot: u32, compressed: &CompressedPage<'_>) -> Option<Slot> {
        for _ in 0..TRIES {
            if let Ok(placed) = self.store.store_chunk(slot, compressed) {
                return Some(placed);
            }
            if !self.make_room(&mut self.lock_to_remove()) {
                break;
            }
        }
        None
    }

    /// Evicts some pages, since the cache is full. Returns whether there were any.
    fn make_room(&self, guarded: &mut Locked<'_, H, F, S>) -> bool {
        guarded.full = true;
        self.evict(guarded, BATCH) > 0
    }
}
