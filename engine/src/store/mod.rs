//! The store: pages by index, kept compressed.
//!
//! [`Store::write`], [`Store::read`] and [`Store::discard`] may be called from many threads
//! at once, also for the same page. None of them allocates from the heap, takes a lock that
//! all share, or touches memory that is not there; one thread of the host calls
//! [`Store::keep`] in the background so that this stays so.

mod cells;
mod counters;
mod error;
mod read;
mod recompress;
mod write;

#[cfg(all(test, feature = "std"))]
mod tests;

use alloc::alloc::{Layout, handle_alloc_error};
use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::backing::Backing;
use crate::codec::{Builtin, CodecSpec, Codecs};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page};
use crate::pool::{Owners, Pool};
use crate::slot::{self, Held, Slot, Taken};
use crate::space::Table;
use crate::stats::Stats;
use counters::{Counters, Shard, add};

pub(crate) use cells::{Cell, Packed};
pub use error::{ReadError, WriteError};
pub use recompress::{ColdPolicy, Progress, Recompressor};

/// Pages that a store can have: the owner in a chunk's header has 32 bits. 16 TiB.
pub const MAX_PAGES: u64 = 1 << 32;

/// A chunk longer than this is stored as the page itself, or sent to the backing store: 3/4
/// of a page, as in ramzswap (`max_zpage_size` in `ramzswap_drv.h`).
pub const INCOMPRESSIBLE_ABOVE: usize = PAGE_SIZE / 4 * 3;

/// How a store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Most bytes of memory that the pool may hold; `None` for as many as its frames.
    pub memlimit: Option<u64>,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool and sets of counters: as many as threads that work at once.
    pub arenas: usize,
    /// Most bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
}

/// What a thread needs to store and load pages: make one for each thread before it serves.
pub struct Worker<C: Codecs = Builtin> {
    number: usize,
    scratch: C::Scratch,
    // Boxed: workers are handed from thread to thread, some with small stacks.
    chunk: Box<Page>,
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
    host: H,
    table: Table<S>,
    pool: Pool<H, F>,
    backing: Option<Box<dyn Backing>>,
    codec: AtomicU16,
    counters: Counters,
    workers: AtomicUsize,
    /// Somebody is the recompressor.
    recompressing: AtomicBool,
    /// The recompressor has nothing to do until a page is written.
    recompressor_rests: AtomicBool,
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
    pub fn new(
        host: H,
        frames: F,
        slots: S,
        backing: Option<Box<dyn Backing>>,
        config: StoreConfig,
    ) -> Self {
        Store {
            host,
            table: Table::new(slots),
            pool: Pool::new(frames, config.arenas, config.memlimit, config.reserve_bytes),
            backing,
            codec: AtomicU16::new(config.codec.to_bits()),
            counters: Counters::new(config.arenas),
            workers: AtomicUsize::new(0),
            recompressing: AtomicBool::new(false),
            recompressor_rests: AtomicBool::new(false),
        }
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
    /// Ends the process, as every other allocation does, where there is none.
    pub fn worker(&self) -> Worker<H::Codecs> {
        let scratch = H::Codecs::scratch();
        Worker {
            number: self.workers.fetch_add(1, Relaxed),
            scratch: scratch.unwrap_or_else(|_| handle_alloc_error(Layout::new::<Page>())),
            chunk: Box::new([0; PAGE_SIZE]),
        }
    }

    /// The codec for new pages.
    pub fn codec(&self) -> CodecSpec {
        CodecSpec::from_bits(self.codec.load(Relaxed))
    }

    /// Changes the codec for new pages. Pages that are held stay as they are.
    pub fn set_codec(&self, codec: CodecSpec) {
        self.codec.store(codec.to_bits(), Relaxed);
    }

    /// Frees pages `first..first + count` and returns how many of them held something. They
    /// read as zeros from now on. Pages past the end are ignored.
    pub fn discard(&self, worker: &mut Worker<H::Codecs>, first: u64, count: u64) -> u64 {
        let shard = self.counters.shard(worker.number);
        let mut freed = 0;
        for word in self.table.written_in(first..first.saturating_add(count)) {
            if slot::glance(word) == (Slot::EMPTY, false) {
                continue;
            }
            let old = slot::replace(word, Slot::EMPTY, |attempt| self.host.relax(attempt));
            freed += u64::from(old.slot() != Slot::EMPTY);
            self.free(shard, old);
        }
        add(&shard.notify_free, freed);
        freed
    }

    /// Frees a page that somebody said is needed no more, if that is still so; returns whether
    /// it held something.
    ///
    /// `still_dead` is asked once, while the page's slot is held, and takes the word back: it
    /// must answer `false` after that, and after a write of the page has begun
    /// ([`slot::empty_if`] says why no write is lost then).
    pub fn discard_if(&self, index: u64, still_dead: impl FnOnce() -> bool) -> bool {
        let Some(word) = self.table.get(index) else {
            // Never written. If it is at this moment, its next discard frees it.
            still_dead();
            return false;
        };
        let taken = slot::empty_if(word, still_dead, |attempt| self.host.relax(attempt));
        let Some(taken) = taken else { return false };
        // Any thread's counters do.
        let shard = self.counters.shard(0);
        self.free(shard, taken);
        add(&shard.notify_free, 1);
        true
    }

    /// One round of background work: readies frames for the reserve, gives surplus ones back
    /// to the host, evacuates sparse ones. Returns whether another round would find work at
    /// once. Meant for one thread, which sleeps until [`Host::wake_keeper`] where it does not.
    pub fn keep(&self) -> bool {
        self.pool.keep(&self.host, &self.table)
    }

    /// Pages read and written so far: how busy the store is. Costs little.
    pub fn served(&self) -> u64 {
        self.counters.served()
    }

    /// A snapshot of the counters, taken while others may be at work.
    pub fn stats(&self) -> Stats {
        Stats {
            evacuated: self.pool.evacuated(),
            reserve_misses: self.pool.reserve_misses(),
            pool_bytes: self.pool.bytes(),
            reserve_bytes: self.pool.reserve_bytes(),
            table_bytes: self.table.bytes() + self.pool.table_bytes(),
            ..self.counters.snapshot()
        }
    }

    /// The pool's frames, for tests that make them fail.
    #[cfg(all(test, feature = "std"))]
    fn pool_frames(&self) -> &F {
        self.pool.frame_memory()
    }

    /// Makes a slot that is held say `new`, and frees what it said.
    fn exchange(&self, shard: &Shard, held: Held<'_, AtomicU64>, new: Slot) {
        // Counted first: a discard by another thread may follow the commit at once.
        if let Some(entry) = new.entry() {
            shard.gained(entry);
        }
        self.free(shard, held.commit(new));
    }

    /// Frees what a slot said.
    fn free(&self, shard: &Shard, taken: Taken) {
        if let Some(entry) = taken.slot().entry() {
            shard.lost(entry);
        }
        self.pool.remove(&self.host, taken);
    }
}
