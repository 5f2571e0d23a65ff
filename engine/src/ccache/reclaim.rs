//! Eviction: the inactive list is shrunk, the active list feeds it, shadows are bounded.

use core::sync::atomic::Ordering::Relaxed;

use super::block::List;
use super::cache::Ccache;
use super::guarded::Guarded;
use super::locked::{Locked, MOST_REMOVED};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::PAGE_SIZE;
use crate::slot::{EVICTION_CLOCK_RANGE, Slot};

/// The inactive list has at least this part of the pages that are held, so that new pages stay
/// long enough to show whether they are accessed again.
const INACTIVE_PART: u64 = 8;

/// Shadows that are kept, as a multiple of the uncompressed pages that the limit would hold.
const SHADOWS_PER_PAGE: u64 = 8;

/// The index may take this part of the limit; beyond, shadows go first.
const INDEX_PART: u64 = 8;

/// Locked pages that are skipped, at most, for one that is evicted.
const MAX_SKIPPED: u32 = 32;

/// Pages that [`Ccache::tune`] evicts before it releases the lock: with what trimming evicts, no
/// more than are then freed.
const EVICT_BATCH: usize = MOST_REMOVED - TRIMMED;

/// Shadows or pages that go when shadows are trimmed, at most: this is done for every page that is
/// evicted.
const TRIMMED: usize = 4;

/// What the pool takes beyond its chunks, in parts of a hundred, once it was evacuated.
const POOL_OVERHEAD_PERCENT: u64 = 6;

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Bytes that the cache wants to take.
    pub(super) fn target(&self, guarded: &Guarded) -> u64 {
        if self.only_copy {
            self.limit.load(Relaxed)
        } else {
            guarded.balance.target
        }
    }

    /// Leaves to the pool what the index does not take.
    pub(super) fn limit_pool(&self, guarded: &Guarded) {
        let pool = self.target(guarded).saturating_sub(guarded.index.bytes());
        self.store.set_memlimit(Some(pool));
    }

    /// Evicts up to `count` pages and returns how many.
    pub(super) fn evict(&self, guarded: &mut Locked<'_, H, F, S>, count: usize) -> usize {
        let evicted = (0..count)
            .take_while(|_| self.evict_oldest(guarded))
            .count();
        self.trim(guarded);
        evicted
    }

    /// Evicts the page at the end of the inactive list; a shadow stays. Returns whether one was
    /// evicted.
    fn evict_oldest(&self, guarded: &mut Locked<'_, H, F, S>) -> bool {
        // Pages that are being read are skipped.
        for _ in 0..MAX_SKIPPED {
            self.feed_inactive(guarded);
            let Some(slot) = guarded.index.lists.oldest(List::Inactive) else {
                return false;
            };
            let eviction_clock = guarded.index.eviction_clock;
            let shadow = Slot::shadow(eviction_clock % EVICTION_CLOCK_RANGE);
            if !guarded.clear(slot, shadow) {
                guarded.index.move_to(slot, List::Inactive);
                continue;
            }
            guarded.index.eviction_clock = eviction_clock.wrapping_add(1);
            guarded.index.move_to(slot, List::Shadows);
            let (file, _) = guarded.index.page_of(slot);
            guarded.index.files.get_mut(file.0).usefulness.unused();
            guarded.counts.evicted += 1;
            return true;
        }
        false
    }

    /// Moves the oldest active pages to the inactive list while that is too short.
    fn feed_inactive(&self, guarded: &mut Guarded) {
        let lists = &guarded.index.lists;
        let (active, inactive) = (lists.len(List::Active), lists.len(List::Inactive));
        if inactive * INACTIVE_PART < active + inactive
            && let Some(slot) = lists.oldest(List::Active)
        {
            guarded.index.move_to(slot, List::Inactive);
        }
    }

    /// Forgets the oldest shadows beyond what may be kept, and evicts pages if the index is too
    /// large without them.
    pub(super) fn trim(&self, guarded: &mut Locked<'_, H, F, S>) {
        let limit = self.limit.load(Relaxed);
        let most = limit / PAGE_SIZE as u64 * SHADOWS_PER_PAGE;
        for _ in 0..TRIMMED {
            let shadows = guarded.index.lists.len(List::Shadows);
            let large = guarded.index.used_bytes() > limit / INDEX_PART;
            // Without shadows no page could come back: as many stay as pages are held.
            let few = shadows < guarded.index.held();
            let trimmed = if shadows > most || large && !few {
                self.forget_oldest_shadow(guarded)
            } else {
                large && self.evict_oldest(guarded)
            };
            if !trimmed {
                break;
            }
        }
    }

    fn forget_oldest_shadow(&self, guarded: &mut Locked<'_, H, F, S>) -> bool {
        let Some(slot) = guarded.index.lists.oldest(List::Shadows) else {
            return false;
        };
        // A shadow (1 of `Guarded`) names no chunk that somebody could be reading.
        let emptied = guarded.clear(slot, Slot::EMPTY);
        debug_assert!(emptied, "slot {slot} is held");
        guarded.index.move_to(slot, List::None);
        true
    }

    /// Forgets shadows, then evicts pages, until a block of slots is free. Returns whether one is.
    pub(super) fn free_a_block(&self, guarded: &mut Locked<'_, H, F, S>) -> bool {
        let before = guarded.index.blocks.used();
        while guarded.index.blocks.used() >= before {
            if !self.forget_oldest_shadow(guarded) && self.evict(guarded, 1) == 0 {
                return false;
            }
        }
        true
    }

    /// Adapts the size, about ten times a second while pages are accessed: the limit may be
    /// another one now, the machine may want `shed` bytes back, and the kernel's page cache holds
    /// at most `page_cache` pages of these files. Returns the new target in bytes.
    pub fn tune(&self, limit: u64, shed: u64, page_cache: u64) -> u64 {
        self.limit.store(limit, Relaxed);
        let floor = self.floor.min(limit);
        let mut guarded = self.lock();
        let index = guarded.index.bytes();
        let used = self.store.pool_bytes() + index;
        guarded.balance.page_cache = u32::try_from(page_cache).unwrap_or(u32::MAX);
        let mut target = guarded.balance.next(floor, limit, used);
        if shed > 0 {
            target = target.min(used).saturating_sub(shed).max(floor);
            guarded.balance.target = target;
        }
        if self.only_copy {
            target = limit;
        }
        self.limit_pool(&guarded);
        guarded.full &= self.chunk_bytes() > target.saturating_sub(index) / 10 * 9;
        drop(guarded);
        self.shrink_to(target.saturating_sub(index));
        target
    }

    /// Evicts pages until their chunks fit into a pool of so many bytes; the keeper then gives
    /// frames back.
    fn shrink_to(&self, pool: u64) {
        loop {
            if self.chunk_bytes() <= pool || self.store.pool_bytes() <= pool {
                return;
            }
            if self.evict(&mut self.lock_to_remove(), EVICT_BATCH) == 0 {
                return;
            }
        }
    }

    /// Bytes of the pool that the chunks need, once it was evacuated.
    fn chunk_bytes(&self) -> u64 {
        let stats = self.store.stats();
        let chunks = stats.compr_bytes + stats.pages_stored * 16;
        chunks * (100 + POOL_OVERHEAD_PERCENT) / 100
    }
}
