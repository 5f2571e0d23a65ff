//! What files hold: their pages, from the cache or from SOURCE.
//!
//! [`Contents`] belongs to a mount, a [`Content`] to one file of it. The kernel's page cache is
//! the first level, which holds pages as they are; here is the second, which holds them compressed.
//! No page is held uncompressed here, nor left in the page cache of SOURCE.
//!
//! - `read`: from the cache, else from SOURCE; reply first, then insert.
//! - `write`: through to SOURCE, or kept dirty.
//! - `writeback`: dirty pages go to SOURCE on fsync and close, after a time, and at the limit.
//! - `loss`: what is given up of that.
//! - `memory_files`: files that live here only (`--ram`).
//! - `tuning`: how large the cache may be, ten times a second, by what requests tell the `tuner`.

mod buffers;
mod cache;
mod change;
mod dirty;
mod flusher;
mod loss;
mod memory_files;
mod pressure;
mod read;
mod shared;
mod source;
mod table;
mod tuner;
mod tuning;
mod write;
mod writeback;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use compcache_engine::ccache::FileId;
use parking_lot::Mutex;

use crate::options::WritePolicy;
use dirty::Dirty;
use shared::Shared;

pub use change::Change;
pub use dirty::Reported;
pub use loss::Loss;
pub use table::Contents;

/// Which file it is, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number there.
    pub ino: u64,
    /// When it was made, in nanoseconds since 1970, or 0 if the file system does not say:
    /// inode numbers are used again.
    pub birth: i128,
}

/// What tells that a file's content was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Last modification, in nanoseconds since 1970.
    pub mtime: i128,
    /// Last change of the inode, in nanoseconds since 1970.
    pub ctime: i128,
}

/// Where a mount's pages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// To SOURCE at once.
    Through,
    /// To SOURCE, later.
    Back,
    /// Nowhere: they are here only.
    Memory,
}

impl Mode {
    fn of(source: bool, write: WritePolicy) -> Self {
        match (source, write) {
            (false, _) => Mode::Memory,
            (true, WritePolicy::Through) => Mode::Through,
            (true, WritePolicy::Back) => Mode::Back,
        }
    }
}

/// What is known of a file. While the lock is free:
///
/// 1. The cache holds each dirty page, pinned.
/// 2. [`WriteBack`](writeback::WriteBack) counts the dirty pages of all files.
/// 3. A file with dirty pages is in its `files`, or its writer is about to enter it. One that is there has some, or who
///    has made the last one clean is about to take it out.
#[derive(Debug)]
struct State {
    /// What SOURCE said last, as far as pages held here agree with it.
    stamp: Stamp,
    dirty: Dirty,
}

/// The content of one file.
#[derive(Debug)]
pub struct Content {
    this: Weak<Content>,
    shared: Arc<Shared>,
    key: FileKey,
    /// `None` if there was no memory for it: then nothing of the file is held.
    id: Option<FileId>,
    /// Never held over a call of SOURCE. Only the cache's lock is taken under it.
    state: Mutex<State>,
    /// The file's size in bytes.
    size: AtomicU64,
    /// Changes that have begun, and those that have ended: a page that was read from SOURCE while
    /// one was under way is not inserted.
    begun: AtomicU64,
    ended: AtomicU64,
    /// One at a time: writing out, and changes other than writes. Held over calls of SOURCE, outside of all other
    /// locks of contents.
    exclusive: Mutex<()>,
}

impl Content {
    fn new(shared: Arc<Shared>, key: FileKey, stamp: Stamp) -> Arc<Self> {
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

    /// Tells what SOURCE says of the file now. Returns whether that is what was expected, so
    /// that the kernel may keep its pages; otherwise pages held here are dropped. Dirty pages are
    /// kept: they are newer.
    pub fn revalidate(&self, stamp: Stamp) -> bool {
        let mut state = self.state.lock();
        if state.stamp == stamp || self.shared.mode == Mode::Memory {
            return true;
        }
        if self.is_changing() {
            // Through the mount. Whoever does it notes the new stamp.
            return true;
        }
        // What was read before, and is about to be inserted, is stale.
        let _changing = self.begin_change();
        state.stamp = stamp;
        let dirty_end = state.dirty.end_of_pages();
        self.size
            .store(stamp.size.max(dirty_end), Ordering::Relaxed);
        self.shared.invalidated.fetch_add(1, Ordering::Relaxed);
        if let Some(id) = self.id {
            let mut from = 0;
            for page in state.dirty.pages() {
                self.shared.cache.forget(id, from, page);
                from = page + 1;
            }
            self.shared.cache.forget(id, from, u64::MAX);
        }
        false
    }

    /// Whether what is held of the file is of this stamp.
    pub fn agrees(&self, stamp: Stamp) -> bool {
        self.shared.mode == Mode::Memory || self.state.lock().stamp == stamp
    }

    /// Corrects what SOURCE says of the file by what was not written to it yet: size and mtime.
    pub fn correct(&self, stamp: &mut Stamp) {
        let state = self.state.lock();
        if let Some(mtime) = state.dirty.written_at() {
            stamp.size = stamp.size.max(self.size.load(Ordering::Relaxed));
            stamp.mtime = stamp.mtime.max(mtime);
            stamp.ctime = stamp.ctime.max(mtime);
        }
    }

    /// Attributes were changed through the mount, but no data: the stamp is a new one.
    pub fn restamp(&self, stamp: Stamp) {
        let mut state = self.state.lock();
        if state.stamp.size == stamp.size || self.is_changing() {
            state.stamp = stamp;
        }
    }

    /// The file's size in bytes, as the mount shows it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    fn is_changing(&self) -> bool {
        self.begun.load(Ordering::SeqCst) != self.ended.load(Ordering::SeqCst)
    }

    /// Notes that the content changes from here on, until what is returned is dropped.
    fn begin_change(&self) -> Changing<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Changing(self)
    }

    /// Takes what SOURCE says after a change through the mount.
    fn restamp_from(&self, source: &File) {
        match source::stamp_of(source) {
            Ok(stamp) => self.state.lock().stamp = stamp,
            // The next look at SOURCE finds a stamp that is not this one, and drops the pages.
            Err(error) => tracing::warn!("cannot look at a file that was written: {error}"),
        }
    }

    /// Finds data or a hole from `offset` on (lseek's SEEK_DATA and SEEK_HOLE).
    ///
    /// # Errors
    /// ENXIO past the end, and those of lseek.
    pub fn seek(&self, source: &File, offset: u64, hole: bool) -> io::Result<u64> {
        match self.shared.mode {
            Mode::Memory => return self.seek_in_memory(offset, hole),
            Mode::Back => self.write_out()?,
            Mode::Through => {}
        }
        let from = if hole {
            rustix::fs::SeekFrom::Hole(offset)
        } else {
            rustix::fs::SeekFrom::Data(offset)
        };
        Ok(rustix::fs::seek(source, from)?)
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
struct Changing<'a>(&'a Content);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}
