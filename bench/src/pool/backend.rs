//! What holds pages: our store in this process, a zram device.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use compcache_device::pool_size;
use compcache_engine::host::heap::{HeapFrames, HeapSlots};
use compcache_engine::store::{ColdPolicy, Progress};
use compcache_engine::{BackingAccess, CodecSpec, PAGE_SIZE, Page, Store, StoreConfig, Worker};
use compcache_host::keeper::{Keeper, Wake};
use compcache_host::memory::LinuxHost;

use crate::direct::{Aligned, Disk};
use crate::held::Held;
use crate::interrupt;
use crate::zram::Zram;

pub(crate) trait Backend {
    fn store(&mut self, index: u64, page: &Page) -> Result<()>;
    fn discard(&mut self, first: u64, count: u64) -> Result<()>;
    fn load(&mut self, index: u64, page: &mut Page) -> Result<()>;
    /// What it holds now; a reserve of empty memory for the next chunks is not of the pool.
    fn held(&self) -> Result<Held>;
    /// Has it do to the pages that it holds what time would do.
    fn quiesce(&mut self) -> Result<()> {
        Ok(())
    }
    /// Has it compact its memory, if that is not done of itself; whether it did.
    fn compact(&self) -> Result<bool> {
        Ok(false)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Contender {
    Ours(CodecSpec),
    /// The same, and all of its pages have become cold before it is looked at.
    Cold(CodecSpec),
    Zram(String),
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contender::Ours(codec) => write!(f, "ours {codec}"),
            Contender::Cold(codec) => write!(f, "ours {codec}, cold"),
            Contender::Zram(algorithm) => write!(f, "zram {algorithm}"),
        }
    }
}

impl Contender {
    pub(crate) fn make(&self, pages: u64) -> Result<Box<dyn Backend>> {
        Ok(match self {
            Contender::Ours(codec) => Box::new(Ours::new(*codec, pages, false)?),
            Contender::Cold(codec) => Box::new(Ours::new(*codec, pages, true)?),
            Contender::Zram(algorithm) => {
                let zram = Zram::new(algorithm, pages * PAGE_SIZE as u64)?;
                Box::new(InZram {
                    disk: Disk::open(&zram.node())?,
                    page: Aligned::new(),
                    zram,
                })
            }
        })
    }
}

/// A zram device, written past the page cache. The disk is closed before the device goes.
struct InZram {
    disk: Disk,
    page: Box<Aligned>,
    zram: Zram,
}

impl Backend for InZram {
    fn store(&mut self, index: u64, page: &Page) -> Result<()> {
        self.page.0 = *page;
        self.disk.write(index, &self.page)
    }

    fn discard(&mut self, first: u64, count: u64) -> Result<()> {
        self.disk.discard(first, count)
    }

    fn load(&mut self, index: u64, page: &mut Page) -> Result<()> {
        self.disk.read(index, &mut self.page)?;
        *page = self.page.0;
        Ok(())
    }

    fn held(&self) -> Result<Held> {
        self.zram.held()
    }

    fn compact(&self) -> Result<bool> {
        self.zram.compact()?;
        Ok(true)
    }
}

/// A page that was touched in no epoch is cold at once: all of them are to be.
const COLD: ColdPolicy = ColdPolicy {
    codec: CodecSpec::ZSTD,
    age: 1,
};

/// How long the keeper gets to give back the memory that recompression has freed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Our store, with its keeper in a thread as in a device.
struct Ours {
    store: Arc<BenchStore>,
    /// Whether pages are recompressed by the codec that devices use for cold ones.
    cold: bool,
    worker: Worker,
    _keeper: Keeper,
}

type BenchStore = Store<LinuxHost, HeapFrames, HeapSlots>;

impl Ours {
    fn new(codec: CodecSpec, pages: u64, cold: bool) -> Result<Ours> {
        // One thread stores.
        let size = pool_size::for_device(pages, None, 1);
        let wake = Arc::new(Wake::default());
        let store = Arc::new(Store::try_new(
            // Nothing is recompressed here.
            LinuxHost::new(Arc::clone(&wake), Arc::default()),
            HeapFrames::new(size.frames),
            HeapSlots::new(usize::try_from(pages)?),
            BackingAccess::None,
            StoreConfig {
                memlimit: None,
                codec,
                arenas: size.arenas,
                reserve_bytes: size.reserve_bytes,
            },
        )?);
        let kept = Arc::clone(&store);
        let keeper = Keeper::start("bench", wake, move || kept.keep())?;
        Ok(Ours {
            worker: store.try_worker()?,
            store,
            cold,
            _keeper: keeper,
        })
    }
}

impl Backend for Ours {
    fn store(&mut self, index: u64, page: &Page) -> Result<()> {
        let store = &self.store;
        Ok(store.write(&mut self.worker, index, std::slice::from_ref(page))?)
    }

    fn discard(&mut self, first: u64, count: u64) -> Result<()> {
        self.store.discard(&mut self.worker, first, count);
        Ok(())
    }

    fn load(&mut self, index: u64, page: &mut Page) -> Result<()> {
        let store = &self.store;
        Ok(store.read(&mut self.worker, index, std::slice::from_mut(page))?)
    }

    fn held(&self) -> Result<Held> {
        let stats = self.store.stats();
        Ok(Held {
            original: stats.pages_stored * PAGE_SIZE as u64,
            compressed: stats.compr_bytes,
            pool: stats.pool_bytes - stats.reserve_bytes,
            all: stats.memory_bytes(),
        })
    }

    fn quiesce(&mut self) -> Result<()> {
        if !self.cold {
            return Ok(());
        }
        let recompressor = self.store.try_recompressor()?;
        let mut recompressor = recompressor.context("it is recompressed already")?;
        while recompressor.step(COLD) != (Progress::EpochEnded { left: 0 }) {
            interrupt::check()?;
        }
        interrupt::pause(PATIENCE)
    }
}
