//! Freeing pages: one, many, or one that was reported dead.

use super::counters::Shard;
use super::pages::Store;
use super::staging::BATCH;
use super::worker::Worker;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot::{self, Emptied};

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Frees a page at once, and returns whether it held something. It reads as zeros from now
    /// on.
    ///
    /// Never sleeps, allocates, or waits for anybody but a holder of this page's slot, who holds
    /// it for microseconds: a page in transit is marked as dead and left to [`Store::arrive`].
    /// May be called under spinlocks, but not from an interrupt.
    ///
    /// `worker` is the number of the caller's worker, which nobody else may use meanwhile (in a
    /// kernel: that of this CPU, with preemption off), or [`NO_WORKER`](super::NO_WORKER).
    pub fn free(&self, worker: usize, index: u64) -> bool {
        let Some(word) = self.table.get(index) else {
            return false;
        };
        let shard = self.counters.shard(worker);
        let emptied = slot::empty(word, |attempt| self.host.backoff(attempt));
        let freed = self.take_emptied(shard, emptied);
        shard.add(&shard.notify_free, u64::from(freed));
        freed
    }

    /// Frees pages `first..first + count` and returns how many of them held something. They
    /// read as zeros from now on. Pages past the end are ignored.
    pub fn discard(&self, worker: &mut Worker<H::Codecs>, first: u64, count: u64) -> u64 {
        if count == 1 {
            return u64::from(self.free(worker.number, first));
        }
        let shard = self.counters.shard(worker.number);
        let mut freed = 0;
        let mut words = self.table.written_in(first..first.saturating_add(count));
        loop {
            let mut batch = [const { None }; BATCH];
            let mut emptied = 0;
            for (taken, word) in batch.iter_mut().zip(&mut words) {
                emptied += 1;
                let was = slot::empty(word, |attempt| self.host.backoff(attempt));
                freed += u64::from(was.is_freed());
                if let Emptied::Taken(current) = was {
                    *taken = Some(current);
                }
            }
            if emptied == 0 {
                break;
            }
            self.release_each(shard, batch.into_iter().flatten());
        }
        shard.add(&shard.notify_free, freed);
        freed
    }

    /// Frees a page that was reported dead, if it still is; returns whether it held something.
    ///
    /// `still_dead` is called once, while the page's slot is locked, and clears the report: it
    /// must return `false` after that, and after a write of the page has begun
    /// ([`slot::empty_if`] says why no write is lost then).
    pub fn discard_if(&self, index: u64, still_dead: impl FnOnce() -> bool) -> bool {
        let Some(word) = self.table.get(index) else {
            // Never written. If it is at this moment, its next discard frees it.
            still_dead();
            return false;
        };
        self.host.pin();
        let emptied = slot::empty_if(word, still_dead, |attempt| self.host.backoff(attempt));
        self.host.unpin();
        let shard = self.counters.shared();
        let freed = self.take_emptied(shard, emptied);
        shard.add(&shard.notify_free, u64::from(freed));
        freed
    }

    /// Frees what an emptied slot held; returns whether its page held something until now.
    fn take_emptied(&self, shard: &Shard, emptied: Emptied) -> bool {
        let freed = emptied.is_freed();
        if let Emptied::Taken(taken) = emptied {
            self.release(shard, taken);
        }
        freed
    }
}
