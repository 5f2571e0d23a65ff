//! The contents of a mount's files, by key.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use compcache_engine::ccache::CcacheConfig;
use compcache_host::Background;
use compcache_host::keeper::{Keeper, Wake};
use compcache_host::memory::{LinuxHost, MemfdFrames, MemfdSlots, MemoryError};
use parking_lot::Mutex;

use super::buffers::BufferPool;
use super::cache::{Cache, capacity};
use super::file_content::{Content, Shared, WriteBack};
use super::file_key::FileKey;
use super::flusher::Flusher;
use super::mode::Mode;
use super::stamp::Stamp;
use super::tuner::Tuner;
use super::tuning;
use crate::error::FilesError;
use crate::options::MountOptions;
use crate::status::MountStatus;

/// Parts of the pool that threads fill at once.
const ARENAS: usize = 4;

/// Ready frames: a 64th of the limit, within this.
const RESERVE: std::ops::RangeInclusive<u64> = 256 << 10..=16 << 20;

/// Contents beyond those that are needed, before the table is looked through for them.
const IDLE_CONTENTS: usize = 1024;

/// The contents of a mount's files.
pub struct Contents {
    pub(super) shared: Arc<Shared>,
    /// Taken before a content's state, never together with its `exclusive`.
    files: Mutex<Files>,
    codec: String,
    // In the order in which they end.
    _flusher: Flusher,
    _tuner: Option<Background>,
    _keeper: Keeper,
}

#[derive(Default)]
struct Files {
    by_key: HashMap<FileKey, Arc<Content>>,
    /// Size of the table at which it is looked through.
    sweep_at: usize,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Contents {
    /// Of a mount with these options, all empty.
    ///
    /// # Errors
    /// [`FilesError::Memory`] if there is no address space for the cache, and
    /// [`FilesError::System`] if there is no thread left.
    pub fn new(options: &MountOptions) -> Result<Arc<Self>, FilesError> {
        Self::tuned_by(options, |shared| tuning::start(shared, options))
    }

    /// Of a mount whose cache keeps its size, and learns from the test when the kernel reclaims.
    #[cfg(test)]
    pub(super) fn untuned(options: &MountOptions) -> Arc<Self> {
        Self::tuned_by(options, |_| Ok(None)).expect("contents")
    }

    fn tuned_by(
        options: &MountOptions,
        tuner: impl FnOnce(&Arc<Shared>) -> io::Result<Option<Background>>,
    ) -> Result<Arc<Self>, FilesError> {
        let limits = options.limits;
        let memory = |error: MemoryError| FilesError::Memory {
            what: error.what,
            bytes: error.bytes,
            source: error.source,
        };
        let thread = |source| FilesError::System {
            doing: "start a thread for",
            path: options.mountpoint.clone(),
            source,
            remedy: None,
        };
        let mode = Mode::of(options.source.is_some(), options.write);
        let size = options.size.unwrap_or(u64::MAX);
        let (frames, slots) = capacity(limits.cache, options.size);
        let frames = MemfdFrames::new("page cache", frames).map_err(memory)?;
        let slots = MemfdSlots::new("page cache index", slots, false).map_err(memory)?;
        if let Err(warning) = frames.locked() {
            // Pages that are swapped out are slower, but neither lost nor in anybody's way.
            tracing::debug!("{warning}");
        }
        let wake = Arc::new(Wake::default());
        let config = CcacheConfig {
            limit: limits.cache,
            floor: limits.floor,
            codec: options.codec,
            arenas: ARENAS,
            reserve_bytes: (limits.cache / 64).clamp(*RESERVE.start(), *RESERVE.end()),
            only_copy: mode == Mode::Memory,
        };
        let host = LinuxHost::new(Arc::clone(&wake), Arc::default());
        let shared = Arc::new(Shared {
            cache: Cache::try_new(host, frames, slots, config).map_err(|error| {
                memory(MemoryError {
                    what: "page cache tables",
                    bytes: 0,
                    source: io::Error::new(io::ErrorKind::OutOfMemory, error),
                })
            })?,
            mode,
            limits,
            size,
            buffers: BufferPool::default(),
            write_back: WriteBack::counted(options.dirty_pages.clone()),
            tuner: Arc::new(Tuner::new().map_err(thread)?),
            invalidated: AtomicU64::new(0),
        });
        let kept = Arc::clone(&shared);
        let keeper = Keeper::start("files", wake, move || kept.cache.keep()).map_err(thread)?;
        Ok(Arc::new(Contents {
            _tuner: tuner(&shared).map_err(thread)?,
            _flusher: Flusher::start(&shared).map_err(thread)?,
            _keeper: keeper,
            shared,
            files: Mutex::default(),
            codec: options.codec.to_string(),
        }))
    }

    /// The content of a file that SOURCE says is as `stamp` tells. Pages held from before are
    /// kept if that matches.
    pub fn file(&self, key: FileKey, stamp: Stamp) -> Arc<Content> {
        let mut files = self.files.lock();
        if let Some(content) = files.by_key.get(&key) {
            return Arc::clone(content);
        }
        if files.by_key.len() >= files.sweep_at {
            self.sweep(&mut files);
        }
        let content = Content::new(Arc::clone(&self.shared), key, stamp);
        files.by_key.insert(key, Arc::clone(&content));
        content
    }

    /// Lets go of contents that nobody uses and of which nothing is known.
    fn sweep(&self, files: &mut Files) {
        files
            .by_key
            .retain(|_, content| Arc::strong_count(content) > 1 || content.is_known());
        files.sweep_at = files.by_key.len() * 2 + IDLE_CONTENTS;
    }

    /// The content of a file of which something is held.
    pub fn existing(&self, key: FileKey) -> Option<Arc<Content>> {
        self.files.lock().by_key.get(&key).cloned()
    }

    /// The file has no name and is not open any more: what is held of it can go.
    pub fn forget(&self, key: FileKey) {
        let forgotten = self.files.lock().by_key.remove(&key);
        if let Some(content) = forgotten {
            content.abandon();
        }
    }

    /// Writes all dirty pages out to SOURCE.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    pub fn sync(&self) -> io::Result<()> {
        self.shared.write_back.write_out_all()
    }

    /// Somebody watches for progress from here on: pages are written out a few at once.
    pub(crate) fn hurry(&self) {
        self.shared
            .write_back
            .hurried
            .store(true, Ordering::Relaxed);
    }

    /// Dirty pages of all files.
    pub(crate) fn dirty_pages(&self) -> u64 {
        self.shared.write_back.pages()
    }

    /// When SOURCE took dirty pages last.
    pub(crate) fn last_progress(&self) -> Option<Instant> {
        *self.shared.write_back.progress.lock()
    }

    /// Fills in what is counted here.
    pub fn status(&self, status: &mut MountStatus) {
        let stats = self.shared.cache.stats();
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let write_back = &self.shared.write_back;
        status.codec.clone_from(&self.codec);
        status.limit = stats.limit;
        status.target = stats.target;
        status.pool_bytes = stats.store.pool_bytes;
        status.index_bytes = stats.index_bytes;
        status.pages = stats.inactive + stats.active + stats.pinned;
        status.active_pages = stats.active;
        status.compressed_bytes = stats.store.compr_bytes;
        status.dirty_pages = write_back.pages();
        status.shadows = stats.shadows;
        status.files = stats.files;
        status.counts = stats.counts;
        status.written_back = write_back.written();
        status.write_errors = write_back.errors();
        status.invalidated = counted(&self.shared.invalidated);
    }
}

impl Content {
    fn is_known(&self) -> bool {
        self.id.is_some_and(|id| self.shared.cache.known(id) > 0)
            || !self.state.lock().dirty.is_empty()
    }
}
