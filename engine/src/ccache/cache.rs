//! What a cache is made of, and what is asked of it as a whole.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use lock_api::Mutex;

use super::balance::Balance;
use super::block::SLOTS;
use super::config::CcacheConfig;
use super::counts::Counts;
use super::guarded::Guarded;
use super::index::{Entry, FileId, Index};
use crate::backing::BackingAccess;
use crate::fallible::NoMemory;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::store::{Store, StoreConfig, Worker};

/// Pages of files, compressed. See the module's documentation.
pub struct Ccache<H: Host, F, S> {
    pub(super) store: Store<H, F, S>,
    pub(super) guarded: Mutex<H::Lock, Guarded>,
    pub(super) limit: AtomicU64,
    pub(super) floor: u64,
    pub(super) only_copy: bool,
    /// The kernel reclaims page cache.
    pub(super) reclaiming: AtomicBool,
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
        *guarded.index.files.get_mut(number) = Entry::default();
        Some(FileId(number))
    }

    /// Pages of a file that are held or remembered.
    pub fn known(&self, file: FileId) -> u64 {
        self.lock().index.files.get(file.0).known
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
