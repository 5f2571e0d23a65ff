//! What SOURCE says of a file, against what is held of it.

use std::fs::File;
use std::sync::atomic::Ordering;

use super::file_content::Content;
use super::mode::Mode;
use super::stamp::{Stamp, stamp_of};

impl Content {
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

    /// Takes what SOURCE says after a change through the mount.
    pub(super) fn restamp_from(&self, source: &File) {
        match stamp_of(source) {
            Ok(stamp) => self.state.lock().stamp = stamp,
            // The next look at SOURCE finds a stamp that is not this one, and drops the pages.
            Err(error) => tracing::warn!("cannot look at a file that was written: {error}"),
        }
    }
}
