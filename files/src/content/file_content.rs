//! The content of one file, and what all contents of a mount share: these refer to each other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use compcache_engine::ccache::FileId;
use compcache_host::counts::Count;
use compcache_host::keeper::Wake;
use parking_lot::Mutex;

use super::buffers::BufferPool;
use super::cache::Cache;
use super::dirty::Dirty;
use super::file_key::FileKey;
use super::loss::Loss;
use super::mode::Mode;
use super::stamp::Stamp;
use super::tuner::Tuner;
use crate::options::Limits;

/// What all contents of a mount share.
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    /// Most bytes of all files together, of files that live in memory only.
    pub(super) size: u64,
    pub(super) buffers: BufferPool,
    pub(super) write_back: WriteBack,
    pub(super) tuner: Arc<Tuner>,
    pub(super) invalidated: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The dirty files of a mount.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    /// Taken before a content's state; never held while something is written out.
    pub(super) files: Mutex<BTreeMap<FileKey, Arc<Content>>>,
    pub(super) through: Mutex<VecDeque<(Instant, Weak<File>)>>,
    pub(super) pages: Count,
    pub(super) written: AtomicU64,
    pub(super) errors: AtomicU64,
    /// When the last message about failures was logged.
    pub(super) complained: Mutex<Option<Instant>>,
    /// When SOURCE took pages last.
    pub(super) progress: Mutex<Option<Instant>>,
    /// The mount has to end: somebody watches for progress.
    pub(super) hurried: AtomicBool,
    /// What was dirty when it was given up. Nothing is written out any more then.
    pub(super) given_up: OnceLock<Arc<Loss>>,
    /// The flusher sleeps without a timeout: no page is dirty.
    pub(super) sleeping: AtomicBool,
    pub(super) wake: Arc<Wake>,
}

impl WriteBack {
    /// No dirty pages yet, which are counted there.
    pub(super) fn counted(pages: Count) -> Self {
        WriteBack {
            pages,
            ..WriteBack::default()
        }
    }
}

/// What is known of a file. While the lock is free:
///
/// 1. The cache holds each dirty page, pinned.
/// 2. [`WriteBack`] counts the dirty pages of all files.
/// 3. A file with dirty pages is in its `files`, or its writer is about to enter it. One that is there has some, or who
///    has made the last one clean is about to take it out.
#[derive(Debug)]
pub(super) struct State {
    /// What SOURCE said last, as far as pages held here agree with it.
    pub(super) stamp: Stamp,
    pub(super) dirty: Dirty,
}

/// The content of one file.
#[derive(Debug)]
pub struct Content {
    pub(super) this: Weak<Content>,
    pub(super) shared: Arc<Shared>,
    pub(super) key: FileKey,
    /// `None` if there was no memory for it: then nothing of the file is held.
    pub(super) id: Option<FileId>,
    /// Never held over a call of SOURCE. Only the cache's lock is taken under it.
    pub(super) state: Mutex<State>,
    /// The file's size in bytes.
    pub(super) size: AtomicU64,
    /// Changes that have begun, and those that have ended: a page that was read from SOURCE while
    /// one was under way is not inserted.
    pub(super) begun: AtomicU64,
    pub(super) ended: AtomicU64,
    /// One at a time: writing out, and changes other than writes. Held over calls of SOURCE, outside of all other
    /// locks of contents.
    pub(super) exclusive: Mutex<()>,
}

impl Content {
    pub(super) fn new(shared: Arc<Shared>, key: FileKey, stamp: Stamp) -> Arc<Self> {
        Arc::new_cyclic(|this| Content {
            this: Weak::clone(this),
            id: shared.cache.add_file(),
            shared,
            key,
            size: AtomicU64::new(stamp.size),
            state: Mutex::new(State {
                stamp,
                dirty: Dirty::default(),
            }),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            exclusive: Mutex::new(()),
        })
    }

    /// The file's size in bytes, as the mount shows it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn is_changing(&self) -> bool {
        self.begun.load(Ordering::SeqCst) != self.ended.load(Ordering::SeqCst)
    }

    /// Notes that the content changes from here on, until what is returned is dropped.
    pub(super) fn begin_change(&self) -> Changing<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Changing(self)
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.cache.remove_file(id);
        }
    }
}

/// A change that is under way.
pub(super) struct Changing<'a>(&'a Content);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}
