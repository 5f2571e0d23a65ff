//! A disk: what a transport serves, in bytes and whole pages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use compcache_engine::codec::Builtin;
use compcache_engine::disk::PAGE;
use compcache_engine::fallible::NoMemory;
use compcache_engine::{FrameMemory, Host, Page, SlotMemory, Store, Worker};

use crate::cpu_latency::CpuLatency;
pub use crate::disk_error::DiskError;
use crate::failures::Failures;
use crate::freed::DeadBits;

/// What a transport serves. Every method but [`Disk::worker`] may be called from many threads
/// at once and neither allocates nor waits for memory.
pub trait Disk: Send + Sync {
    /// The disk's size in bytes: whole pages.
    fn size_bytes(&self) -> u64;

    /// Working memory for one thread.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    fn worker(&self) -> Result<Worker, NoMemory>;

    /// Reads the bytes from `offset` on. Pages never written read as zeros.
    ///
    /// # Errors
    /// [`DiskError`]; what `data` holds is undefined then.
    fn read(&self, worker: &mut Worker, offset: u64, data: &mut [u8]) -> Result<(), DiskError>;

    /// Writes `data` from `offset` on. Data at a multiple of 4096 in memory spares a copy
    /// where it goes to a backing swap.
    ///
    /// # Errors
    /// [`DiskError`]; pages that could be written are written anyway.
    fn write(&self, worker: &mut Worker, offset: u64, data: &[u8]) -> Result<(), DiskError>;

    /// Frees the pages of `offset..offset + len`; they read as zeros after.
    ///
    /// # Errors
    /// [`DiskError::Unaligned`], [`DiskError::OutOfRange`].
    fn discard(&self, worker: &mut Worker, offset: u64, len: u64) -> Result<(), DiskError>;
}

/// A disk over a store.
pub struct StoreDisk<H: Host, F, S> {
    store: Store<H, F, S>,
    invalid_io: AtomicU64,
    failures: Failures,
    cpu_latency: Option<Arc<CpuLatency>>,
    /// The pages that the kernel reported as dead, once somebody watches that.
    dead: OnceLock<Arc<DeadBits>>,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> StoreDisk<H, F, S> {
    /// A disk of all the store's pages. Every read and write is reported to `cpu_latency`.
    pub fn new(store: Store<H, F, S>, cpu_latency: Option<Arc<CpuLatency>>) -> Self {
        StoreDisk {
            store,
            invalid_io: AtomicU64::new(0),
            failures: Failures::default(),
            cpu_latency,
            dead: OnceLock::new(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store<H, F, S> {
        &self.store
    }

    /// How many requests were refused because they were not whole pages of the disk.
    pub fn invalid_io(&self) -> u64 {
        self.invalid_io.load(Ordering::Relaxed)
    }

    /// Requests that failed.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Notes a request that the store could not do, and has the keeper report it.
    #[cold]
    fn failed(&self, error: impl Into<DiskError>) -> DiskError {
        let error = error.into();
        self.failures.note(error);
        self.store.host().wake_keeper();
        error
    }

    /// Has every write from now on take back that its pages are dead. Only the first bitmap that
    /// is given counts.
    pub(crate) fn revive_in(&self, dead: &Arc<DeadBits>) {
        self.dead.get_or_init(|| Arc::clone(dead));
    }

    /// The first page of a request; counts a request that is refused.
    fn check(&self, offset: u64, len: u64) -> Result<u64, DiskError> {
        let size = self.store.pages() * PAGE;
        let error = if !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) {
            DiskError::Unaligned { offset, len }
        } else if offset.checked_add(len).is_none_or(|end| end > size) {
            DiskError::OutOfRange { offset, len, size }
        } else {
            return Ok(offset / PAGE);
        };
        self.invalid_io.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }

    fn wake_quickly(&self) {
        if let Some(cpu_latency) = &self.cpu_latency {
            cpu_latency.request();
        }
    }
}

impl<H: Host<Codecs = Builtin>, F: FrameMemory, S: SlotMemory> Disk for StoreDisk<H, F, S> {
    fn size_bytes(&self) -> u64 {
        self.store.pages() * PAGE
    }

    fn worker(&self) -> Result<Worker, NoMemory> {
        self.store.try_worker()
    }

    fn read(&self, worker: &mut Worker, offset: u64, data: &mut [u8]) -> Result<(), DiskError> {
        self.wake_quickly();
        let first = self.check(offset, data.len() as u64)?;
        let (pages, _): (&mut [Page], _) = data.as_chunks_mut();
        self.store
            .read(worker, first, pages)
            .map_err(|error| self.failed(error))
    }

    fn write(&self, worker: &mut Worker, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.wake_quickly();
        let first = self.check(offset, data.len() as u64)?;
        let (pages, _): (&[Page], _) = data.as_chunks();
        if let Some(dead) = self.dead.get() {
            dead.clear(first, pages.len() as u64);
        }
        self.store
            .write(worker, first, pages)
            .map_err(|error| self.failed(error))
    }

    fn discard(&self, worker: &mut Worker, offset: u64, len: u64) -> Result<(), DiskError> {
        let first = self.check(offset, len)?;
        self.store.discard(worker, first, len / PAGE);
        Ok(())
    }
}
