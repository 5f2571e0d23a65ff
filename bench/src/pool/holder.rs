//! What holds pages: our store in this process, a zram device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use compcache_engine::host::heap::{HeapFrames, HeapSlots, StdTime};
use compcache_engine::host::{FRAME_SIZE, Host};
use compcache_engine::{CodecSpec, PAGE_SIZE, Page, Store, StoreConfig, Worker};

use crate::direct::{Aligned, Disk};
use crate::zram::Zram;

/// Bytes that a holder holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The pages that are held.
    pub(crate) original: u64,
    /// The chunks alone.
    pub(crate) compressed: u64,
    /// The pool with the chunks in it: what lies between and beside them counts, a reserve of
    /// empty memory for the next chunks does not.
    pub(crate) pool: u64,
    /// All memory, with the reserve and with what finds the chunks.
    pub(crate) all: u64,
}

/// A holder of pages.
pub(crate) trait Holder {
    /// Stores a page.
    fn store(&mut self, index: u64, page: &Page) -> Result<()>;
    /// Frees pages.
    fn discard(&mut self, first: u64, count: u64) -> Result<()>;
    /// Gives a page back.
    fn load(&mut self, index: u64, page: &mut Page) -> Result<()>;
    /// What it holds now.
    fn held(&self) -> Result<Held>;
    /// Has it compact its memory, where that is not done of itself; whether it did.
    fn compact(&self) -> Result<bool>;
}

/// A holder that can be made.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Our store with a codec.
    Ours(CodecSpec),
    /// A zram device with an algorithm.
    Zram(String),
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Ours(codec) => format!("ours {codec}"),
            Kind::Zram(algorithm) => format!("zram {algorithm}"),
        }
    }

    /// Makes one for so many pages.
    pub(crate) fn make(&self, pages: u64) -> Result<Box<dyn Holder>> {
        Ok(match self {
            Kind::Ours(codec) => Box::new(Ours::new(*codec, pages)?),
            Kind::Zram(algorithm) => {
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

impl Holder for InZram {
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
        let held = self.zram.held()?;
        Ok(Held {
            original: held.original,
            compressed: held.compressed,
            pool: held.used,
            all: held.used + held.table,
        })
    }

    fn compact(&self) -> Result<bool> {
        self.zram.compact()?;
        Ok(true)
    }
}

/// Our store, with its keeper in a thread as in a device.
struct Ours {
    shared: Arc<Shared>,
    worker: Worker,
    keeper: Option<JoinHandle<()>>,
}

struct Shared {
    store: Store<BenchHost, HeapFrames, HeapSlots>,
    stop: AtomicBool,
}

/// Locks of `parking_lot`, and a flag for the keeper.
#[derive(Default)]
struct BenchHost {
    time: StdTime,
    wanted: Wanted,
}

/// Whether the keeper has something to do.
#[derive(Default)]
struct Wanted {
    flag: parking_lot::Mutex<bool>,
    changed: parking_lot::Condvar,
}

impl Wanted {
    fn want(&self) {
        *self.flag.lock() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut flag = self.flag.lock();
        while !*flag {
            self.changed.wait(&mut flag);
        }
        *flag = false;
    }
}

impl Host for BenchHost {
    type Lock = parking_lot::RawMutex;

    fn now_ns(&self) -> u64 {
        self.time.now_ns()
    }

    fn relax(&self, attempt: u32) {
        StdTime::relax(attempt);
    }

    fn wake_keeper(&self) {
        self.wanted.want();
    }
}

impl Ours {
    fn new(codec: CodecSpec, pages: u64) -> Result<Ours> {
        // As compcache_device sizes a device's pool: room for all pages as they are, and a
        // reserve of a 16th.
        let per_frame = (FRAME_SIZE / (PAGE_SIZE + 16)) as u64;
        let frames = u32::try_from(pages / per_frame + 64).context("too many pages")?;
        let reserve_bytes = (pages * PAGE_SIZE as u64 / 16).clamp(1 << 20, 16 << 20);
        let shared = Arc::new(Shared {
            store: Store::new(
                BenchHost::default(),
                HeapFrames::new(frames),
                HeapSlots::new(usize::try_from(pages)?),
                None,
                StoreConfig {
                    memlimit: None,
                    codec,
                    arenas: 1,
                    reserve_bytes,
                },
            ),
            stop: AtomicBool::new(false),
        });
        let for_keeper = Arc::clone(&shared);
        let keeper = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || {
                while !for_keeper.stop.load(Ordering::Acquire) {
                    if !for_keeper.store.keep() {
                        for_keeper.store.host().wanted.wait();
                    }
                }
            })?;
        Ok(Ours {
            worker: shared.store.worker(),
            shared,
            keeper: Some(keeper),
        })
    }
}

impl Holder for Ours {
    fn store(&mut self, index: u64, page: &Page) -> Result<()> {
        let store = &self.shared.store;
        Ok(store.write(&mut self.worker, index, std::slice::from_ref(page))?)
    }

    fn discard(&mut self, first: u64, count: u64) -> Result<()> {
        self.shared.store.discard(&mut self.worker, first, count);
        Ok(())
    }

    fn load(&mut self, index: u64, page: &mut Page) -> Result<()> {
        let store = &self.shared.store;
        Ok(store.read(&mut self.worker, index, std::slice::from_mut(page))?)
    }

    fn held(&self) -> Result<Held> {
        let stats = self.shared.store.stats();
        Ok(Held {
            original: stats.pages_stored * PAGE_SIZE as u64,
            compressed: stats.compr_bytes,
            pool: stats.pool_bytes - stats.reserve_bytes,
            all: stats.pool_bytes + stats.table_bytes,
        })
    }

    fn compact(&self) -> Result<bool> {
        Ok(false)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.store.host().wanted.want();
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            eprintln!("compcache-bench: the keeper panicked");
        }
    }
}
