//! Pages by index, kept compressed: what a store is made of, and what is asked of it as a whole.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::config::StoreConfig;
use super::counters::Counters;
use super::limits::MAX_PAGES;
use super::staging::Staging;
use super::transit::LONGEST_RUN;
use super::worker::Worker;
use crate::backing::BackingAccess;
use crate::codec::{CodecSpec, Codecs};
use crate::fallible::{NoMemory, reserved};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::pool::{Owners, Pool};
use crate::space::Table;
use crate::stats::Stats;

/// Pages by index, compressed. See the module's documentation.
pub struct Store<H: Host, F, S> {
    // 1. A chunk that a slot of `table` names lies in `pool` (and see `Slot`).
    // 2. Without `backing`, no page is in transit or in the backing store. Page 0 never is.
    // 3. The counters of what is held are raised before the commit that makes them true, and lowered after the
    //    value was replaced: they are never less than what slots hold.
    // 4. Only the thread that has set `recompressing` makes slots older.
    pub(super) host: H,
    pub(super) table: Table<S>,
    pub(super) pool: Pool<H, F>,
    pub(super) backing: BackingAccess,
    pub(super) codec: AtomicU16,
    pub(super) counters: Counters,
    pub(super) workers: AtomicUsize,
    /// Somebody is the recompressor.
    pub(super) recompressing: AtomicBool,
    /// The recompressor has nothing to do until a page is written.
    pub(super) recompressor_idle: AtomicBool,
}

impl<H: Host, F, S> fmt::Debug for Store<H, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

impl<S: SlotMemory> Owners for Table<S> {
    fn slot(&self, owner: u32) -> Option<&AtomicU64> {
        self.get(owner.into())
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// An empty store with a page for each slot, of which it uses at most [`MAX_PAGES`].
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for the tables of pool and counters: 16 bytes a frame,
    /// some 4 KiB an arena, and a bit for each 512 pages.
    #[cold]
    #[inline(never)] // what it moves is off its caller's stack
    pub fn try_new(
        host: H,
        frames: F,
        slots: S,
        backing: BackingAccess,
        config: StoreConfig,
    ) -> Result<Self, NoMemory> {
        Ok(Store {
            host,
            table: Table::try_new(slots)?,
            pool: Pool::try_new(frames, config.arenas, config.memlimit, config.reserve_bytes)?,
            backing,
            codec: AtomicU16::new(config.codec.to_bits()),
            counters: Counters::try_new(config.arenas)?,
            workers: AtomicUsize::new(0),
            recompressing: AtomicBool::new(false),
            recompressor_idle: AtomicBool::new(false),
        })
    }

    /// The number of pages that the store can hold.
    pub fn pages(&self) -> u64 {
        self.table.pages().min(MAX_PAGES)
    }

    /// The host that the store was made with.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Working memory for one thread, all of it resident.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub fn try_worker(&self) -> Result<Worker<H::Codecs>, NoMemory> {
        let run = match self.backing {
            BackingAccess::Direct(_) => reserved(LONGEST_RUN)?,
            BackingAccess::ByCaller => reserved(1)?,
            BackingAccess::None => Vec::new(),
        };
        Ok(Worker {
            number: self.workers.fetch_add(1, Relaxed),
            scratch: H::Codecs::scratch()?,
            staging: Staging::try_new()?,
            run,
        })
    }

    /// The codec for new pages.
    pub fn codec(&self) -> CodecSpec {
        CodecSpec::from_bits(self.codec.load(Relaxed))
    }

    /// Changes the codec for new pages. Pages that are held stay as they are.
    pub fn set_codec(&self, codec: CodecSpec) {
        self.codec.store(codec.to_bits(), Relaxed);
    }

    /// Changes the most bytes of memory that the pool may hold; `None` for as many as its
    /// frames. What it holds beyond stays, and until as much is freed, pages that are written go
    /// to the backing store or fail.
    pub fn set_memlimit(&self, bytes: Option<u64>) {
        // Once only: as long as the limit stays, it is by freeing chunks that the keeper gets work.
        if self.pool.set_limit(bytes) && self.pool.excess() > 0 {
            self.pool.call_keeper(&self.host);
        }
    }

    /// One round of background work: readies frames for the reserve, gives surplus ones back
    /// to the host, evacuates sparse ones. Returns whether another round would find work at
    /// once. Meant for one thread, which sleeps until [`Host::wake_keeper`] if it does not.
    pub fn keep(&self) -> bool {
        self.pool.keep(&self.host, &self.table)
    }

    /// Makes memory ready for a write that found none, and returns whether there is some. Waits
    /// for memory, so the caller must be able to sleep. If it says yes, others may take that
    /// memory before the caller does; if it says no, the pool is at its limit or the system
    /// has nothing left.
    pub fn top_up(&self) -> bool {
        self.pool.top_up()
    }

    /// Bytes of ready frames beyond the least that a pool of any size keeps: what
    /// [`Store::shrink`] can give back at once.
    pub fn shrinkable_bytes(&self) -> u64 {
        self.pool.shrinkable_bytes()
    }

    /// Gives up to `bytes` of ready frames back to the host, which is short of memory, and returns
    /// how many. May run beside [`Store::keep`], and sleeps if [`FrameMemory::release`] does.
    pub fn shrink(&self, bytes: u64) -> u64 {
        self.pool.shrink(bytes)
    }

    /// Pages read and written so far: how busy the store is. Costs little.
    pub fn served(&self) -> u64 {
        self.counters.served()
    }

    /// A snapshot of the counters, taken while others may be at work.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.read_stats(&mut stats);
        stats
    }

    /// Fills in a snapshot of the counters: [`Store::stats`] for callers with a small stack.
    pub fn read_stats(&self, stats: &mut Stats) {
        self.counters.read(stats);
        stats.evacuated = self.pool.evacuated();
        stats.evacuated_bytes = self.pool.evacuated_bytes();
        stats.reserve_misses = self.pool.reserve_misses();
        stats.pool_bytes = self.pool.bytes();
        stats.pool_bytes_max = self.pool.bytes_max();
        stats.reserve_bytes = self.pool.reserve_bytes();
        stats.table_bytes = self.table.bytes() + self.pool.table_bytes();
    }

    /// The pool's frames, for tests that make them fail.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn pool_frames(&self) -> &F {
        self.pool.frame_memory()
    }

    /// The memory of the slots, for tests that make it fail.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn slot_memory(&self) -> &S {
        self.table.memory()
    }
}
