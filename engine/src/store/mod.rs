//! The store: pages by index, kept compressed.
//!
//! [`Store::write`], [`Store::read`] and [`Store::discard`], and for single pages
//! [`Store::write_page`], [`Store::read_page`] and [`Store::free`], may be called from many
//! threads at once, also for the same page. None of them allocates from the heap, takes a lock
//! that all share, or touches memory that is not there; one thread of the host calls
//! [`Store::keep`] in the background so that this stays so.
//!
//! # Calls for single pages
//!
//! They do no I/O and never sleep, so that a kernel may call them with preemption off, each
//! CPU with a worker of its own. What has to be waited for is left to the caller:
//!
//! | answer | what the caller does |
//! |---|---|
//! | [`Written::ToBacking`] | writes the page to the backing store, then [`Store::arrive`] |
//! | [`Written::InTransit`], [`Loaded::InTransit`] | waits until somebody's [`Store::arrive`], then tries again |
//! | [`Loaded::InBacking`] | reads the page from the backing store, then [`Store::verify`] |
//! | [`WriteError::NoSpace`] | may call [`Store::top_up`], which sleeps, and try again |
//! | [`WriteError::NoSlotMemory`] | fails the write: what was there is still there |
//!
//! Whoever writes several pages gives them to [`Store::stage_page`], and calls [`Store::commit`].
//!
//! # Locks, outermost first
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | a [slot word](crate::slot)'s lock bit | the slot's value, and so its chunk | reading, moving, replacing a chunk |
//! | an arena's lock | free space of a part of the [pool](crate::pool) | placing and freeing a chunk |
//!
//! No thread holds two slots, or two arenas. A slot is held over decompressing its chunk and placing another
//! one, never over compression, I/O or a wait for memory. What a slot held is freed after it was unlocked. A
//! worker's batch is its own: a commit places all chunks, then takes one slot after the other, then frees.
//! Outside of both is the lock of a [cache](crate::ccache).

mod cache_ops;
mod counters;
mod damage;
mod error;
mod read;
mod recompress;
mod stage;
mod transit;
mod write;

#[cfg(all(test, feature = "std"))]
mod tests;

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::backing::BackingAccess;
use crate::codec::{Builtin, CodecSpec, Codecs};
use crate::fallible::{NoMemory, reserved};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::PAGE_SIZE;
use crate::pool::{Owners, Pool};
use crate::slot::{self, Emptied, Slot, SlotGuard, Taken};
use crate::space::Table;
use crate::stats::Stats;
use counters::{Counters, Shard};
use stage::{BATCH, Staging};

pub(crate) use cache_ops::{CompressedPage, SlotContents};
pub use error::{ReadError, WriteError};
pub use read::{InBacking, Loaded, Verified};
pub use recompress::{ColdPolicy, Progress, Recompressor};
pub use stage::{Staged, Uncommitted};
pub use transit::Transit;
pub use write::Written;

/// Pages that a store can have: the owner in a chunk's header has 32 bits. 16 TiB.
pub const MAX_PAGES: u64 = 1 << 32;

/// A page whose chunk would be longer than this is sent to the backing store, and is not admitted by
/// a cache: 3/4 of a page, as in ramzswap (`max_zpage_size` in `ramzswap_drv.h`).
pub const INCOMPRESSIBLE_ABOVE: usize = PAGE_SIZE / 4 * 3;

/// A page whose chunk would be longer than this is stored as it is if it has to stay in memory: then
/// an eighth of it is still worth its decompression.
const STORED_AS_IT_IS_ABOVE: usize = PAGE_SIZE / 8 * 7;

/// How a store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Most bytes of memory that the pool may hold; `None` for as many as its frames.
    pub memlimit: Option<u64>,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool and sets of counters: as many as workers at work at once, in a
    /// kernel as many as CPUs.
    pub arenas: usize,
    /// Most bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
}

/// The number for [`Store::free`] and the like of a thread that has no worker in hand: it counts
/// if all such threads do.
pub const NO_WORKER: usize = usize::MAX;

/// What a thread needs to store and load pages: make one for each thread, or each CPU, before it
/// serves.
pub struct Worker<C: Codecs = Builtin> {
    number: usize,
    scratch: C::Scratch,
    /// Where it compresses to, and its batch.
    staging: Staging,
    /// Pages that this worker's thread is taking to the backing store.
    run: Vec<Transit>,
}

impl<C: Codecs> Worker<C> {
    /// The worker's number: how many were made before it. Those below
    /// [`StoreConfig::arenas`] have an arena and counters of their own.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The codecs' working memory, for a set of codecs that needs to know its context.
    #[inline]
    pub fn scratch(&mut self) -> &mut C::Scratch {
        &mut self.scratch
    }
}

impl<C: Codecs> fmt::Debug for Worker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Pages by index, compressed. See the module's documentation.
pub struct Store<H: Host, F, S> {
    // 1. A chunk that a slot of `table` names lies in `pool` (and see `Slot`).
    // 2. Without `backing`, no page is in transit or in the backing store. Page 0 never is.
    // 3. The counters of what is held are raised before the commit that makes them true, and lowered after the
    //    value was replaced: they are never less than what slots hold.
    // 4. Only the thread that has set `recompressing` makes slots older.
    host: H,
    table: Table<S>,
    pool: Pool<H, F>,
    backing: BackingAccess,
    codec: AtomicU16,
    counters: Counters,
    workers: AtomicUsize,
    /// Somebody is the recompressor.
    recompressing: AtomicBool,
    /// The recompressor has nothing to do until a page is written.
    recompressor_idle: AtomicBool,
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
            BackingAccess::Direct(_) => reserved(transit::LONGEST_RUN)?,
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

    /// Frees a page at once, and returns whether it held something. It reads as zeros from now
    /// on.
    ///
    /// Never sleeps, allocates, or waits for anybody but a holder of this page's slot, who holds
    /// it for microseconds: a page in transit is marked as dead and left to [`Store::arrive`].
    /// May be called under spinlocks, but not from an interrupt.
    ///
    /// `worker` is the number of the caller's worker, which nobody else may use meanwhile (in a
    /// kernel: that of this CPU, with preemption off), or [`NO_WORKER`].
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

    /// Stores `new` in a locked slot, unlocks it, and frees what it held.
    fn exchange(&self, shard: &Shard, held: SlotGuard<'_, AtomicU64>, new: Slot) {
        self.release(shard, commit_held(shard, held, new));
    }

    /// Frees what an emptied slot held; returns whether its page held something until now.
    fn take_emptied(&self, shard: &Shard, emptied: Emptied) -> bool {
        let freed = emptied.is_freed();
        if let Emptied::Taken(taken) = emptied {
            self.release(shard, taken);
        }
        freed
    }

    /// Frees what some slots held, with the lock of an arena taken once for neighbours.
    fn release_each(&self, shard: &Shard, taken: impl Iterator<Item = Taken>) {
        let chunks = taken.filter(|taken| count_lost(shard, taken));
        self.pool.remove_each(&self.host, chunks);
    }

    /// Frees what a slot held.
    fn release(&self, shard: &Shard, taken: Taken) {
        if count_lost(shard, &taken) {
            self.pool.remove(&self.host, taken);
        }
    }
}

/// Stores `new` in a locked slot, unlocks it, and returns the old value.
#[inline]
fn commit_held(shard: &Shard, held: SlotGuard<'_, AtomicU64>, new: Slot) -> Taken {
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
