//! What a device is while it is initialised: the store, the CPUs' workers, the threads.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::fmt::Write as _;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use compcache_engine::backing::BackingAccess;
use compcache_engine::disk::PAGE;
use compcache_engine::disk::sizes::Resolved;
use compcache_engine::fallible::{NoMemory, boxed, boxed_page, try_collect};
use compcache_engine::pool::size::{PoolSize, Reserve};
use compcache_engine::swap_header::{LABEL_LEN, SwapHeader};
use compcache_engine::{Store, StoreConfig, Worker};

use crate::backing::BackingSwap;
use crate::codecs::KernelCodecs;
use crate::error::{Error, no_memory};
use crate::host::KernelHost;
use crate::memory::{KernelFrames, KernelSlots};
use crate::params::Params;
use crate::policy::Policy;
use crate::refusals::Refusals;
use crate::sys;
use crate::text::Writer;
use crate::threads::{Role, Thread};

/// A device's store.
pub(crate) type KernelStore = Store<KernelHost, KernelFrames, KernelSlots>;

/// The reserve of ready frames: a 512th of the disk, from 128 KiB to 16 MiB. Small disks are for small machines, which
/// would notice 512 KiB.
const RESERVE: Reserve = Reserve {
    disk_bytes: 512,
    bytes: 128 << 10..=16 << 20,
};

/// The worker of one CPU.
#[derive(Debug)]
struct CpuWorker(UnsafeCell<Worker<KernelCodecs>>);

// SAFETY: reached through `Live::on_cpu` only, by its own CPU with preemption off.
unsafe impl Sync for CpuWorker {}

/// A registered shrinker, unregistered on drop.
#[derive(Debug)]
struct Shrinker(NonNull<sys::Shrinker>);

// SAFETY: the kernel's side locks it.
unsafe impl Send for Shrinker {}
// SAFETY: as above.
unsafe impl Sync for Shrinker {}

impl Drop for Shrinker {
    fn drop(&mut self) {
        // SAFETY: made by `rzk_shrinker_register`, stopped once.
        unsafe { sys::rzk_shrinker_unregister(self.0.as_ptr()) }
    }
}

/// An initialised device.
#[derive(Debug)]
pub(crate) struct Live {
    number: u32,
    // Dropped first: it calls into the store.
    shrinker: Option<Shrinker>,
    workers: Box<[CpuWorker]>,
    store: KernelStore,
    backing: Option<BackingSwap>,
    memlimit: AtomicU64,
    /// When and how cold pages are recompressed.
    pub(crate) policy: Policy,
    /// Writes that found no room, and were tried again once there was some.
    pub(crate) retried: AtomicU64,
    /// Corrupt pages that could not be read without a request, and come again as one.
    pub(crate) read_again: AtomicU64,
    /// Requests that were deferred and have not ended.
    pub(crate) deferred: AtomicU64,
    /// Writes that failed for lack of room.
    pub(crate) refusals: Refusals,
}

impl Live {
    /// Makes all of it, and starts the threads. May sleep.
    pub(crate) fn start(
        number: u32,
        params: &Params,
        resolved: Resolved,
        backing: Option<BackingSwap>,
    ) -> Result<Box<Self>, Error<'static>> {
        // SAFETY: may be called anywhere.
        let cpus = unsafe { sys::rzk_nr_cpu_ids() } as usize;
        let store = make_store(params, resolved, backing.is_some(), cpus)?;
        // The workers are numbered as they are made: each has the number of its CPU.
        let workers = try_collect(cpus, |_| worker(&store))
            .map_err(no_memory("the workers", cpus as u64 * 16 * PAGE))?;
        let mut live = boxed(Live {
            number,
            shrinker: None,
            workers,
            store,
            backing,
            memlimit: AtomicU64::new(resolved.memlimit.unwrap_or(0)),
            policy: Policy::new(params.recompress),
            retried: AtomicU64::new(0),
            read_again: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            refusals: Refusals::default(),
        })
        .map_err(no_memory("the device", PAGE))?;
        live.write_header(resolved.disksize / PAGE)
            .map_err(no_memory("the swap header", PAGE))?;
        let at = core::ptr::from_ref(&*live).cast();
        // SAFETY: the box stays where it is until it was stopped.
        let shrinker = unsafe { sys::rzk_shrinker_register(number, at) };
        match NonNull::new(shrinker) {
            Some(shrinker) => live.shrinker = Some(Shrinker(shrinker)),
            None => return Err(no_memory("the shrinker", PAGE)(NoMemory)),
        }
        let host = live.store.host();
        // SAFETY: the box stays where it is until `stop` or `drop` has stopped the threads.
        unsafe {
            host.keeper.start(Role::Keeper, number, &*live)?;
            host.cold.start(Role::Cold, number, &*live)?;
        }
        host.keeper.wake();
        Ok(live)
    }

    /// Makes page 0 the header of a swap area of `pages` pages. May sleep.
    fn write_header(&self, pages: u64) -> Result<(), NoMemory> {
        let mut page = boxed_page()?;
        let mut random = [0; 16];
        // SAFETY: the memory has this length.
        unsafe { sys::rzk_get_random_bytes(random.as_mut_ptr().cast(), random.len()) };
        let mut label = [0; LABEL_LEN];
        let mut writer = Writer::new(&mut label);
        // It has room for the name of any device.
        let _ = write!(writer, "ramzswap{}", self.number);
        let label = core::str::from_utf8(writer.bytes()).unwrap_or_default();
        SwapHeader::fresh(pages, random, label).write_to(&mut page);
        self.store.top_up();
        let written = self.on_cpu(|worker| self.store.write_page(worker, 0, &page));
        written.map(drop).map_err(|_| NoMemory)
    }

    /// The device's number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Its store.
    #[inline]
    pub(crate) fn store(&self) -> &KernelStore {
        &self.store
    }

    /// Its backing swap.
    pub(crate) fn backing(&self) -> Option<&BackingSwap> {
        self.backing.as_ref()
    }

    /// Bytes of memory for pages; 0 if there is no limit.
    pub(crate) fn memlimit(&self) -> u64 {
        self.memlimit.load(Ordering::Relaxed)
    }

    /// Changes the most bytes of memory for pages; `None` for no limit.
    pub(crate) fn set_memlimit(&self, bytes: Option<u64>) {
        self.memlimit.store(bytes.unwrap_or(0), Ordering::Relaxed);
        self.store.set_memlimit(bytes);
    }

    /// Calls `work` with this CPU's worker. It must not sleep: preemption is off.
    #[inline]
    pub(crate) fn on_cpu<T>(&self, work: impl FnOnce(&mut Worker<KernelCodecs>) -> T) -> T {
        // SAFETY: followed by `rzk_put_cpu`.
        let cpu = unsafe { sys::rzk_get_cpu() } as usize;
        // SAFETY: this CPU's worker, which nobody else uses until `rzk_put_cpu`: requests are
        // not served from interrupts, and `work` does not call this again.
        let worker = unsafe { &mut *self.workers[cpu].0.get() };
        let done = work(worker);
        worker.scratch().end_section();
        // SAFETY: follows `rzk_get_cpu`.
        unsafe { sys::rzk_put_cpu() };
        done
    }
}

/// Makes a device's store. Not inlined, to keep what it moves off its caller's stack.
#[inline(never)]
fn make_store(
    params: &Params,
    resolved: Resolved,
    has_backing: bool,
    cpus: usize,
) -> Result<KernelStore, Error<'static>> {
    let Resolved { disksize, memlimit } = resolved;
    let pages = disksize / PAGE;
    let size = PoolSize::of_disk(pages, memlimit, cpus, &RESERVE);
    let slots = KernelSlots::new(pages).map_err(no_memory("the slots", pages * 8))?;
    let frames = KernelFrames::new(size.frames)
        .map_err(no_memory("the table of frames", u64::from(size.frames) * 8))?;
    let threads = || no_memory("its threads", PAGE);
    let host = KernelHost {
        keeper: Thread::new().map_err(threads())?,
        cold: Thread::new().map_err(threads())?,
    };
    let access = if has_backing {
        BackingAccess::ByCaller
    } else {
        BackingAccess::None
    };
    let config = StoreConfig {
        memlimit,
        codec: params.codec,
        arenas: size.arenas,
        reserve_bytes: size.reserve_bytes,
    };
    KernelStore::try_new(host, frames, slots, access, config)
        .map_err(no_memory("the pool's tables", cpus as u64 * PAGE))
}

fn worker(store: &KernelStore) -> Result<CpuWorker, NoMemory> {
    let mut worker = store.try_worker()?;
    worker.scratch().keep_registers();
    Ok(CpuWorker(UnsafeCell::new(worker)))
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shrinker = None;
        self.store.host().keeper.stop();
        self.store.host().cold.stop();
    }
}

/// Pages that the shrinker could give back.
///
/// # Safety
/// `live` is what the shrinker was started with.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_shrinker_count(live: *const Live) -> u64 {
    // SAFETY: it stays until the shrinker was stopped.
    let live = unsafe { &*live };
    live.store.shrinkable_bytes() / PAGE
}

/// Gives back up to `pages` pages that are free, and returns how many. May sleep.
///
/// # Safety
/// As for [`rz_shrinker_count`].
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_shrinker_scan(live: *const Live, pages: u64) -> u64 {
    // SAFETY: as above.
    let live = unsafe { &*live };
    live.store.shrink(pages.saturating_mul(PAGE)) / PAGE
}
