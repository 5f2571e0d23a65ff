//! What a commit replaces: it is counted as gone, and freed after its slot was unlocked.

use core::sync::atomic::AtomicU64;

use super::counters::Shard;
use super::pages::Store;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot::{Slot, SlotGuard, Taken};

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Stores `new` in a locked slot, unlocks it, and frees what it held.
    pub(super) fn exchange(&self, shard: &Shard, held: SlotGuard<'_, AtomicU64>, new: Slot) {
        self.release(shard, commit_held(shard, held, new));
    }

    /// Frees what some slots held, with the lock of an arena taken once for neighbours.
    pub(super) fn release_each(&self, shard: &Shard, taken: impl Iterator<Item = Taken>) {
        let chunks = taken.filter(|taken| count_lost(shard, taken));
        self.pool.remove_each(&self.host, chunks);
    }

    /// Frees what a slot held.
    pub(super) fn release(&self, shard: &Shard, taken: Taken) {
        if count_lost(shard, &taken) {
            self.pool.remove(&self.host, taken);
        }
    }
}

/// Stores `new` in a locked slot, unlocks it, and returns the old value.
#[inline]
pub(super) fn commit_held(shard: &Shard, held: SlotGuard<'_, AtomicU64>, new: Slot) -> Taken {
    // Counted first (3 of `Store`): a discard by another thread may follow the commit at once.
    if let Some(entry) = new.entry() {
        shard.gained(entry);
    }
    held.commit(new)
}

/// Counts what a slot held as gone, and returns whether it was a chunk.
#[inline]
fn count_lost(shard: &Shard, taken: &Taken) -> bool {
    let chunk = taken.slot().as_chunk();
    if let Some(chunk) = chunk {
        shard.lost_chunk(chunk);
    } else if let Some(entry) = taken.slot().entry() {
        shard.lost(entry);
    }
    chunk.is_some()
}
