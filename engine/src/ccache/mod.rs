//! The compressed cache: pages of files, found by one look-up, under one memory limit.
//!
//! Every file is an address space: a radix tree that leads to one 64-bit slot a page, which says
//! whether the page is held, and where, or when it was evicted. Pages that are held are on one of
//! two LRU lists. [`Ccache::should_admit`] decides which pages are admitted
//! (`should_add_to_ccache` of the 2006 design), [`Ccache::insert`] stores them, and what no longer fits is
//! evicted from the inactive list, and leaves a shadow.
//!
//! One lock guards the index and the lists. It is never held while a page is compressed, stored or
//! decompressed, nor while somebody else reads one: [`Ccache::insert`] reserves the page's slot, and
//! [`Ccache::pin`] pins it; both store the chunk without the lock, and commit it if the slot is still
//! the page's. Chunks of pages that were evicted or dropped are freed after its release.
//!
//! # Locks, outermost first
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | the cache's lock | index, lists, balance, counts | everything but storing a chunk and restoring a page |
//! | a slot's lock bit, then an arena's lock | see [`store`](crate::store) | reading, setting a slot; freeing |
//!
//! Under the cache's lock a slot is tried, never waited for: who finds it held releases the lock and comes
//! again. Nobody takes the lock while holding a slot. An arena is locked under it only when more than 16 chunks
//! await its release, and the index takes memory under it.

mod admit;
mod balance;
mod block;
mod index;
mod lists;
mod locked;
mod read;
mod reclaim;
mod slab;
mod stats;
mod stream;

#[cfg(all(test, feature = "std"))]
mod tests;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lock_api::Mutex;

use crate::backing::BackingAccess;
use crate::codec::CodecSpec;
use crate::fallible::NoMemory;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot::Slot;
use crate::store::{Store, StoreConfig, Worker};
use balance::Balance;
use block::{List, SLOTS};
use index::{Index, Known};
use locked::Locked;
use stats::Counts;

pub use admit::{Decision, Inserted, Read};
pub use index::FileId;
pub use read::Lookup;
pub use stats::CcacheStats;

/// The cache has no room for a page that it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache is full: its limit is reached by pages that cannot be dropped")]
pub struct NoRoom;

/// How a cache is set up.
#[derive(Clone, Copy, Debug)]
pub struct CcacheConfig {
    /// Most bytes of pool and index.
    pub limit: u64,
    /// What the cache may always hold, in bytes, however much it costs.
    pub floor: u64,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool: as many as threads that work at once.
    pub arenas: usize,
    /// Most bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
    /// No page may be dropped: files live here only. The target is then always the limit.
    pub only_copy: bool,
}

/// What the lock guards. While it is free:
///
/// 1. A slot on [`List::Inactive`] or [`List::Active`] holds its page; on [`List::Shadows`] it is a shadow, on
///    [`List::None`] empty.
/// 2. On [`List::Reserved`] it does not hold its page; on [`List::Pinned`] it may not hold it yet.
/// 3. A block that is in use has a slot that is not on [`List::None`].
/// 4. `held` and `known` of a file count its slots on lists that hold pages, and on any list.
struct Guarded {
    index: Index,
    balance: Balance,
    counts: Counts,
    /// Pages had to be dropped for others, and there is not much room since.
    full: bool,
}

/// Pages of files, compressed. See the module's documentation.
pub struct Ccache<H: Host, F, S> {
    store: Store<H, F, S>,
    guarded: Mutex<H::Lock, Guarded>,
    limit: AtomicU64,
    floor: u64,
    only_copy: bool,
    /// The kernel reclaims page cache.
    reclaiming: AtomicBool,
}

impl<H: Host, F, S> fmt::Debug for Ccache<H, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ccache")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// An empty cache over these frames and slots.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for its tables.
    pub fn try_new(host: H, frames: F, slots: S, config: CcacheConfig) -> Result<Self, NoMemory> {
        let store_config = StoreConfig {
            memlimit: Some(config.limit),
            codec: config.codec,
            arenas: config.arenas,
            reserve_bytes: config.reserve_bytes,
        };
        let store = Store::try_new(host, frames, slots, BackingAccess::None, store_config)?;
        let blocks = u32::try_from(store.pages() / u64::from(SLOTS)).unwrap_or(u32::MAX);
        Ok(Ccache {
            guarded: Mutex::new(Guarded {
                index: Index::new(blocks),
                balance: Balance::new(config.limit),
                counts: Counts::default(),
                full: false,
            }),
            store,
            limit: AtomicU64::new(config.limit),
            floor: config.floor,
            only_copy: config.only_copy,
            reclaiming: AtomicBool::new(false),
        })
    }

    /// Working memory for one thread.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub fn try_worker(&self) -> Result<Worker<H::Codecs>, NoMemory> {
        self.store.try_worker()
    }

    /// The host that the cache was made with.
    pub fn host(&self) -> &H {
        self.store.host()
    }

    /// One round of background work on the pool: see [`Store::keep`].
    pub fn keep(&self) -> bool {
        self.store.keep()
    }

    /// A file that holds nothing; `None` if there is no memory for it. To be given back with
    /// [`remove_file`](Self::remove_file).
    pub fn add_file(&self) -> Option<FileId> {
        let mut guarded = self.lock();
        let number = guarded.index.files.allocate()?;
        *guarded.index.files.get_mut(number) = index::Entry::default();
        Some(FileId(number))
    }

    /// Forgets a file and all its pages. Nobody may use it any more.
    pub fn remove_file(&self, file: FileId) {
        self.forget(file, 0, u64::MAX);
        self.lock().index.files.free(file.0);
    }

    /// Pages of a file that are held or remembered.
    pub fn known(&self, file: FileId) -> u64 {
        self.lock().index.files.get(file.0).known
    }

    /// Frees pages `first..end` of a file, pinned ones too, and forgets all about them. Returns
    /// how many were held.
    pub fn forget(&self, file: FileId, first: u64, end: u64) -> u64 {
        self.remove_pages(file, first, end, List::None)
    }

    /// Frees pages `first..end` of a file, pinned ones too, but remembers those that were held or
    /// known: they were changed on SOURCE. Returns how many were held.
    pub fn invalidate(&self, file: FileId, first: u64, end: u64) -> u64 {
        self.remove_pages(file, first, end, List::Shadows)
    }

    fn remove_pages(&self, file: FileId, first: u64, end: u64, to: List) -> u64 {
        let (mut from, mut held, mut attempt) = (first, 0, 0);
        while from < end {
            // The lock is released between blocks, of which a file can have many, and while somebody
            // reads one of the pages.
            let mut guarded = self.lock_to_remove();
            let Some((slots, next)) = guarded.index.known_from(file, from) else {
                break;
            };
            let mut known = slots.filter(|known| known.page < end);
            if known.all(|Known { slot, .. }| self.remove_page(&mut guarded, slot, to, &mut held)) {
                (from, attempt) = (next, 0);
                continue;
            }
            drop(guarded);
            self.store.host().backoff(attempt);
            attempt += 1;
        }
        held
    }

    /// Empties a slot, or makes it a shadow, and adds to `held` whether its page was held. Returns
    /// whether that was done: not while somebody reads the page.
    fn remove_page(
        &self,
        guarded: &mut Locked<'_, H, F, S>,
        slot: u32,
        to: List,
        held: &mut u64,
    ) -> bool {
        // Making a neighbour a shadow may have dropped or forgotten this one.
        let list = guarded.index.list_of(slot);
        if list == to || list == List::None {
            return true;
        }
        let done = match to {
            List::Shadows => self.shadow(guarded, slot),
            _ => guarded.clear(slot, Slot::EMPTY),
        };
        if done {
            *held += u64::from(list.holds());
        }
        if done && to == List::None {
            guarded.index.move_to(slot, to);
        }
        done
    }

    /// Whether the kernel reclaims page cache: then pages are
    /// admitted at their first read, not only when they come back.
    pub fn set_reclaiming(&self, reclaiming: bool) {
        self.reclaiming.store(reclaiming, Relaxed);
    }

    /// The measured time of reading a page from SOURCE, and of a hit, in nanoseconds.
    pub fn set_times(&self, miss_ns: u64, hit_ns: u64) {
        let balance = &mut self.lock().balance;
        (balance.miss_ns, balance.hit_ns) = (miss_ns, hit_ns);
    }
}
