//! Damage, for tests of what becomes of it.

use super::pages::Store;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot;

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Flips a bit in the middle of a page's chunk, as failing memory would; returns whether there
    /// is a chunk. The next read of the page finds it corrupt.
    pub fn flip_bit(&self, index: u64) -> bool {
        let Some(word) = self.table.get(index) else {
            return false;
        };
        self.host.pin();
        let held = slot::lock(word, |attempt| self.host.backoff(attempt));
        let flipped = self.pool.flip_bit(&held);
        drop(held);
        self.host.unpin();
        flipped
    }
}
