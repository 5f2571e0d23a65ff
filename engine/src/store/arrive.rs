//! The end of a page's way to the backing store.

use super::error::WriteError;
use super::pages::Store;
use super::transit::Transit;
use super::worker::Worker;
use crate::backing::BackingAccess;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::Page;
use crate::slot::{self, Arrival, Entry};

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Ends a page's way to the backing store, which has `written` the page or failed to. In the
    /// first case the page is there from now on; in the second it reads as before, unless it lay
    /// in the backing store already. A page that was freed meanwhile is gone.
    ///
    /// Never sleeps and allocates nothing. May be called under spinlocks, but not from an
    /// interrupt: frees what the page's slot held before, under the lock of its arena.
    ///
    /// `worker` as for [`Store::free`].
    pub fn arrive(&self, worker: usize, transit: Transit, written: bool) {
        let Some(word) = self.table.get(transit.index()) else {
            return;
        };
        let shard = self.counters.shard(worker);
        let backoff = |attempt| self.host.backoff(attempt);
        if written {
            // Counted first: a discard by another thread may follow the arrival at once.
            shard.gained(Entry::Backing { checksum: 0 });
            shard.add(&shard.backing_writes, 1);
            let took = self.host.now_ns().saturating_sub(transit.since_ns);
            shard.stored(took, 1);
        } else {
            shard.add(&shard.failed_writes, 1);
        }
        match slot::arrive(word, transit.departure, written, backoff) {
            Arrival::Arrived(old) => self.release(shard, old),
            Arrival::Freed(old) => {
                if written {
                    shard.lost(Entry::Backing { checksum: 0 });
                }
                self.release(shard, old);
            }
            Arrival::Returned => {}
        }
    }

    /// Takes the pages that the worker has made set out to the backing store, in one transfer:
    /// they are the last ones of `pages`.
    pub(super) fn take_run(
        &self,
        worker: &mut Worker<H::Codecs>,
        pages: &[Page],
    ) -> Result<(), WriteError> {
        let Some(first) = worker.run.first().map(Transit::index) else {
            return Ok(());
        };
        let pages = &pages[pages.len() - worker.run.len()..];
        let result = match &self.backing {
            BackingAccess::Direct(backing) => backing.write(first, pages).map_err(WriteError::from),
            BackingAccess::None | BackingAccess::ByCaller => {
                Err(WriteError::NoSpace { index: first })
            }
        };
        for transit in worker.run.drain(..) {
            self.arrive(worker.number, transit, result.is_ok());
        }
        result
    }
}
