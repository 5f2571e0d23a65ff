//! The store (being written: this one keeps pages as they are under one lock).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::backing::{Backing, BackingError};
use crate::codec::{CodecSpec, Scratch};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::Page;
use crate::stats::Stats;

/// How a store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Most bytes of memory that the pool may hold; `None` for as many as its frames.
    pub memlimit: Option<u64>,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool: as many as threads that store at once.
    pub arenas: usize,
    /// Bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
}

/// Why a page could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Past the end.
    #[error("page {index} is past the end of the device ({pages} pages)")]
    OutOfRange {
        /// The page.
        index: u64,
        /// Pages of the device.
        pages: u64,
    },
    /// The pool is full.
    #[error("no memory for page {index}: the pool is at its limit or the system gave none")]
    NoSpace {
        /// The page.
        index: u64,
    },
    /// The backing store failed.
    #[error(transparent)]
    Backing(#[from] BackingError),
}

/// Why a page could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Past the end.
    #[error("page {index} is past the end of the device ({pages} pages)")]
    OutOfRange {
        /// The page.
        index: u64,
        /// Pages of the device.
        pages: u64,
    },
    /// The chunk is corrupt.
    #[error("page {index} is corrupt: its checksum does not match")]
    Corrupt {
        /// The page.
        index: u64,
    },
    /// The backing store failed.
    #[error(transparent)]
    Backing(#[from] BackingError),
}

/// What a thread needs to store and load: make one for each before it serves.
#[derive(Debug)]
pub struct Worker {
    _scratch: Scratch,
}

/// Pages by index, compressed.
pub struct Store<H: Host, F, S> {
    _host: H,
    _frames: F,
    slots: S,
    _backing: Option<Box<dyn Backing>>,
    pages: lock_api::Mutex<H::Lock, BTreeMap<u64, Box<Page>>>,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Makes an empty store.
    pub fn new(
        host: H,
        frames: F,
        slots: S,
        backing: Option<Box<dyn Backing>>,
        _config: StoreConfig,
    ) -> Self {
        Store {
            _host: host,
            _frames: frames,
            slots,
            _backing: backing,
            pages: lock_api::Mutex::new(BTreeMap::new()),
        }
    }

    /// The number of pages that the store can hold: its slots.
    pub fn pages(&self) -> u64 {
        self.slots.slots().len() as u64
    }

    /// Working memory for one thread.
    pub fn worker(&self) -> Worker {
        Worker {
            _scratch: Scratch::default(),
        }
    }

    /// The codec for new pages.
    pub fn codec(&self) -> CodecSpec {
        CodecSpec::default()
    }

    /// Changes the codec for new pages.
    pub fn set_codec(&self, _codec: CodecSpec) {}

    /// Writes pages `first..first + pages.len()`. Every page is tried, whatever happens to
    /// the others.
    ///
    /// # Errors
    /// That of the first page that was not written.
    pub fn write(&self, _w: &mut Worker, first: u64, pages: &[Page]) -> Result<(), WriteError> {
        for (i, page) in (first..).zip(pages) {
            self.pages.lock().insert(i, Box::new(*page));
        }
        Ok(())
    }

    /// Reads pages `first..first + pages.len()`; those never written read as zeros.
    ///
    /// # Errors
    /// That of the first page that could not be read; all others are read.
    pub fn read(&self, _w: &mut Worker, first: u64, pages: &mut [Page]) -> Result<(), ReadError> {
        for (i, page) in (first..).zip(pages) {
            match self.pages.lock().get(&i) {
                Some(p) => page.copy_from_slice(&p[..]),
                None => page.fill(0),
            }
        }
        Ok(())
    }

    /// Frees pages `first..first + count` and returns how many of them held something.
    pub fn discard(&self, _w: &mut Worker, first: u64, count: u64) -> u64 {
        let mut n = 0;
        for i in first..first.saturating_add(count).min(self.pages()) {
            n += u64::from(self.pages.lock().remove(&i).is_some());
        }
        n
    }

    /// One round of the keeper's work: fills the reserve, evacuates sparse frames, gives
    /// surplus frames back. Returns whether another round would find work at once.
    pub fn keep(&self) -> bool {
        false
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
