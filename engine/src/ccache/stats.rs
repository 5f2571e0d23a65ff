//! What a cache has done and holds.

use super::block::List;
use super::cache::Ccache;
use super::counts::Counts;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::stats::Stats;

/// A snapshot of a cache. Counters never go back; gauges say what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CcacheStats {
    /// Bytes that the cache may take.
    pub limit: u64,
    /// Bytes that it wants to take.
    pub target: u64,
    /// Gauge: bytes of the index.
    pub index_bytes: u64,
    /// Gauge: pages on the inactive list.
    pub inactive: u64,
    /// Gauge: pages on the active list.
    pub active: u64,
    /// Gauge: pages that may not be evicted.
    pub pinned: u64,
    /// Gauge: shadows.
    pub shadows: u64,
    /// Gauge: files.
    pub files: u64,
    /// What was counted.
    pub counts: Counts,
    /// The store's counters.
    pub store: Stats,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Accesses so far: hits and misses.
    pub fn accesses(&self) -> u64 {
        let guarded = self.lock();
        guarded.counts.hits + guarded.counts.misses
    }

    /// Pages that may not be evicted.
    pub fn pinned(&self) -> u64 {
        self.lock().index.lists.len(List::Pinned)
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> CcacheStats {
        let store = self.store.stats();
        let guarded = self.lock();
        let index = &guarded.index;
        CcacheStats {
            limit: self.limit.load(core::sync::atomic::Ordering::Relaxed),
            target: self.target(&guarded),
            index_bytes: index.bytes(),
            inactive: index.lists.len(List::Inactive),
            active: index.lists.len(List::Active),
            pinned: index.lists.len(List::Pinned),
            shadows: index.lists.len(List::Shadows),
            files: u64::from(index.files.used()),
            counts: guarded.counts,
            store,
        }
    }
}
