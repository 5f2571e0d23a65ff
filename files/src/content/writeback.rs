//! Writing dirty pages out: on fsync and close, after a time, at the limit, at unmount.
//!
//! A page stays dirty, and its chunk pinned, until SOURCE has taken it as it was after its last
//! write; so nothing is lost if SOURCE fails, and the next write-out tries again. The failure is
//! reported once per open file, by its next fsync or close.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use compcache_engine::ccache::{FileId, Lookup};
use compcache_engine::disk::PAGE;

use super::dirty::Reported;
use super::file_content::{Content, State, WriteBack};
use super::mode::Mode;
use super::source;
use super::stamp::stamp_of;
use crate::identity::act_as_owner;

/// Pages that are written out at once: 1 MiB.
const RUN: usize = 256;

/// The same while somebody watches for progress: 64 KiB, which even a slow SOURCE takes in seconds.
const SHORT_RUN: usize = 16;

/// The least time between two messages about failures.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Time between two searches for pages that have been dirty for long.
const PERIOD: Duration = Duration::from_secs(1);

/// Time after which the kernel has written back what was written through, and its pages
/// can be dropped from SOURCE's page cache (`vm.dirty_expire_centisecs` is 30 s).
const WRITTEN_BACK_AFTER: Duration = Duration::from_secs(36);

/// Files written through whose pages wait for that; of more, the kernel's reclaim takes care.
const WRITTEN: usize = 256;

impl WriteBack {
    /// Dirty pages.
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Pages written out so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Write-outs that failed.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(super) fn became_dirty(&self, pages: u64) {
        self.pages.fetch_add(pages, Ordering::Relaxed);
    }

    pub(super) fn became_clean(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }

    /// A file was written through: the kernel now holds pages of it twice.
    pub(super) fn wrote_through(&self, file: &Arc<File>) {
        let mut through = self.through.lock();
        let known = |(_, other): &(_, Weak<File>)| std::ptr::eq(other.as_ptr(), Arc::as_ptr(file));
        if through.len() < WRITTEN && !through.iter().rev().take(8).any(known) {
            through.push_back((Instant::now(), Arc::downgrade(file)));
            drop(through);
            self.wake_flusher();
        }
    }

    fn wake_flusher(&self) {
        if self.sleeping.swap(false, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    /// Writes out every dirty page.
    pub(super) fn write_out_all(&self) -> io::Result<()> {
        self.write_out_where(|_| true)
    }

    pub(super) fn write_out_where(&self, wanted: impl Fn(&Content) -> bool) -> io::Result<()> {
        if self.given_up.get().is_some() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let mut files: Vec<_> = self.files.lock().values().cloned().collect();
        // Whoever writes one out now may wait for SOURCE for ever: the others first.
        files.sort_by_key(|content| content.exclusive.is_locked());
        let mut outcome = Ok(());
        for content in files.into_iter().filter(|content| wanted(content)) {
            outcome = outcome.and(content.write_out());
        }
        outcome
    }

    /// A write-out has failed: says so, unless that was said a moment ago.
    fn failed(&self, error: &io::Error) {
        let failures = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        let mut complained = self.complained.lock();
        if complained.is_none_or(|at| at.elapsed() >= COMPLAINT) {
            *complained = Some(Instant::now());
            tracing::warn!(
                "writing dirty pages to SOURCE failed, they are kept: {error}; {failures} failures since \
                 it was mounted"
            );
        }
    }

    /// Pages that are written out at once.
    fn run_length(&self) -> usize {
        if self.hurried.load(Ordering::Relaxed) {
            SHORT_RUN
        } else {
            RUN
        }
    }

    /// Drops pages from SOURCE's page cache that were written through some time ago.
    pub(super) fn drop_behind(&self) {
        loop {
            let mut through = self.through.lock();
            match through.front() {
                Some((when, _)) if when.elapsed() >= WRITTEN_BACK_AFTER => {}
                _ => return,
            }
            let file = through.pop_front().and_then(|(_, file)| file.upgrade());
            drop(through);
            if let Some(file) = file {
                source::drop_behind(&file, 0, 0);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.files.lock().is_empty() && self.through.lock().is_empty()
    }

    /// Sleeps for a period, or while there is nothing to do.
    pub(super) fn sleep(&self) {
        let woken = || self.wake.take() || self.wake.is_stopped();
        if self.is_idle() {
            self.sleeping.store(true, Ordering::Release);
            // Looked at again: whoever came before that did not wake.
            if self.is_idle() {
                while !woken() {
                    thread::park();
                }
            }
            self.sleeping.store(false, Ordering::Release);
        } else if !woken() {
            thread::park_timeout(PERIOD);
        }
        self.wake.take();
    }
}

impl Content {
    /// Lets the flusher know of a file that has dirty pages.
    pub(super) fn note_dirty(&self) {
        let write_back = &self.shared.write_back;
        let mut files = write_back.files.lock();
        // It may have been written out since.
        if !files.contains_key(&self.key)
            && self.is_dirty()
            && let Some(content) = self.this.upgrade()
        {
            files.insert(self.key, content);
            drop(files);
            write_back.wake_flusher();
        }
    }

    /// The failures that count as reported to a file that is opened now.
    #[must_use]
    pub fn opened(&self) -> Reported {
        self.state.lock().dirty.opened()
    }

    /// Writes dirty pages out to SOURCE: at close, and before SOURCE does what depends
    /// on them.
    ///
    /// # Errors
    /// The failure of a write-out that was not reported to this open file yet. The pages stay dirty.
    pub fn flush(&self, reported: &Reported) -> io::Result<()> {
        if self.shared.mode != Mode::Back {
            return Ok(());
        }
        // A failure is noted, and told by the next line.
        let _ = self.write_out();
        self.state.lock().dirty.report(reported)
    }

    /// Writes dirty pages out and makes SOURCE store them.
    ///
    /// # Errors
    /// As [`Content::flush`], and those of fsync.
    pub fn fsync(&self, source: &File, data_only: bool, reported: &Reported) -> io::Result<()> {
        if self.shared.mode == Mode::Memory {
            return Ok(());
        }
        self.flush(reported)?;
        if data_only {
            source.sync_data()
        } else {
            source.sync_all()
        }
    }

    /// Writes dirty pages out to SOURCE, for what depends on their being there: copying from the
    /// file, setting its times.
    ///
    /// # Errors
    /// Those of SOURCE. The pages stay dirty, and fsync or close reports it, too.
    pub fn write_dirty(&self) -> io::Result<()> {
        self.write_out()
    }

    /// Writes all dirty pages of the file out.
    pub(super) fn write_out(&self) -> io::Result<()> {
        if self.state.lock().dirty.is_empty() {
            return Ok(());
        }
        let _one = self.exclusive.lock();
        self.write_out_but(0..0)
    }

    /// As [`write_out`](Self::write_out), but for the pages of that range, for whoever holds the lock of exclusive
    /// changes.
    pub(super) fn write_out_but(&self, left: Range<u64>) -> io::Result<()> {
        let outcome = self.write_runs(&left);
        if let Err(error) = &outcome {
            self.state.lock().dirty.failed(error);
            self.shared.write_back.failed(error);
        }
        self.forget_if_clean();
        outcome
    }

    /// The last writes of the dirty pages of a range, by page.
    pub(super) fn dirty_in(&self, pages: Range<u64>) -> Vec<(u64, u64)> {
        self.state.lock().dirty.writes_in(pages).collect()
    }

    /// Pages are clean without having been written out, unless they were written again after these writes.
    pub(super) fn discard_dirty(&self, writes: Vec<(u64, u64)>) {
        let Some(id) = self.id else { return };
        self.make_clean(&mut self.state.lock(), id, writes);
        self.forget_if_clean();
    }

    /// Dirty pages of this file are clean, unless they were written again after these writes.
    fn make_clean(
        &self,
        state: &mut State,
        id: FileId,
        writes: impl IntoIterator<Item = (u64, u64)>,
    ) {
        for (index, write) in writes {
            if state.dirty.clean(index, write) {
                self.shared.cache.unpin(id, index);
                self.shared.write_back.became_clean(1);
            }
        }
    }

    /// A file without dirty pages is none of the flusher's. For whoever has made the last one clean.
    pub(super) fn forget_if_clean(&self) {
        let mut files = self.shared.write_back.files.lock();
        if self.state.lock().dirty.is_empty() {
            let removed = files.remove(&self.key);
            // Dropped without the lock: it may be the last reference.
            drop(files);
            drop(removed);
        }
    }

    fn write_runs(&self, left: &Range<u64>) -> io::Result<()> {
        let mut from = 0;
        loop {
            let (run, source) = {
                let state = self.state.lock();
                // 1 of `Dirty`.
                let Some(source) = state.dirty.source() else {
                    return Ok(());
                };
                let most = self.shared.write_back.run_length();
                (state.dirty.run(from, most), Arc::clone(source))
            };
            let Some((first, mut writes)) = run else {
                return Ok(());
            };
            if left.contains(&first) {
                from = left.end;
                continue;
            }
            if first < left.start {
                let before = usize::try_from(left.start - first).unwrap_or(usize::MAX);
                writes.truncate(before);
            }
            self.write_run(&source, first, &writes)?;
            from = first + writes.len() as u64;
        }
    }

    fn write_run(&self, source: &File, first: u64, writes: &[u64]) -> io::Result<()> {
        let Some(id) = self.id else { return Ok(()) };
        let _changing = self.begin_change();
        let cache = &self.shared.cache;
        self.shared.buffers.with(cache, |buffers| {
            let (worker, pages) = buffers.parts(writes.len());
            for (index, page) in (first..).zip(&mut *pages) {
                if cache.lookup(worker, id, index, page) != Lookup::Hit {
                    tracing::error!("dirty page {index} of a file is corrupt: it is lost");
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
            }
            let offset = first * PAGE;
            let end = self.size.load(Ordering::Relaxed);
            let length = (end.saturating_sub(offset)).min(writes.len() as u64 * PAGE);
            let _acting = act_as_owner(source)?;
            source.write_all_at(&pages.as_flattened()[..length as usize], offset)
        })?;
        let write_back = &self.shared.write_back;
        *write_back.progress.lock() = Some(Instant::now());
        // Before the lock is taken, which nobody may hold who waits for SOURCE.
        let stamp = stamp_of(source);
        let mut state = self.state.lock();
        self.make_clean(&mut state, id, (first..).zip(writes.iter().copied()));
        write_back
            .written
            .fetch_add(writes.len() as u64, Ordering::Relaxed);
        if let Ok(stamp) = stamp {
            state.stamp = stamp;
        }
        Ok(())
    }

    /// Whether it has dirty pages.
    fn is_dirty(&self) -> bool {
        !self.state.lock().dirty.is_empty()
    }

    /// Whether a dirty page is older than that.
    pub(super) fn is_overdue(&self, age: Duration) -> bool {
        let since = self.state.lock().dirty.since();
        since.is_some_and(|since| since.elapsed() >= age)
    }
}
