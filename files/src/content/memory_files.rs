//! Files that live here only: the content of a `--ram` mount.
//!
//! Their names, attributes and sizes are those of sparse files on a tmpfs; all data is in
//! pinned pages of the cache. A page that is not held is a hole.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use compcache_engine::PAGE_SIZE;
use compcache_engine::ccache::{FileId, Lookup};
use compcache_engine::disk::PAGE;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::file_content::Content;
use super::write::pieces;

impl Content {
    /// Writes to a file that lives here only.
    pub(super) fn write_to_memory(
        &self,
        source: &File,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let id = self.id.ok_or_else(full)?;
        let end = offset + data.len() as u64;
        let _changing = self.begin_change();
        let cache = &self.shared.cache;
        let done = self.shared.buffers.with(cache, |buffers| {
            let (worker, room) = buffers.parts(1);
            let page = &mut room[0];
            pieces(offset, data).try_for_each(|piece| {
                let whole = piece.bytes.len() == PAGE_SIZE;
                let held = if whole {
                    cache.holds(id, piece.page)
                } else {
                    match cache.lookup(worker, id, piece.page, page) {
                        Lookup::Hit => true,
                        Lookup::Miss => {
                            page.fill(0);
                            false
                        }
                        Lookup::Corrupt => return Err(io::Error::from_raw_os_error(libc::EIO)),
                    }
                };
                if !held && cache.pinned() * PAGE + PAGE > self.shared.size {
                    return Err(full());
                }
                page[piece.at..piece.at + piece.bytes.len()].copy_from_slice(piece.bytes);
                cache.pin(worker, id, piece.page, page).map_err(|_| full())
            })
        });
        done?;
        if end > self.size.load(Ordering::Relaxed) {
            source.set_len(end)?;
            self.size.fetch_max(end, Ordering::Relaxed);
        } else {
            rustix::fs::futimens(source, &modified_now())?;
        }
        self.restamp_from(source);
        Ok(())
    }

    /// Makes bytes of a range zeros: whole pages become holes.
    pub(super) fn zero_memory(&self, range: Range<u64>) -> io::Result<()> {
        let Some(id) = self.id.filter(|_| range.start < range.end) else {
            return Ok(());
        };
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        let head = !range.start.is_multiple_of(PAGE);
        let tail = !range.end.is_multiple_of(PAGE) && range.end != u64::MAX;
        let whole = first + u64::from(head)..last + u64::from(!tail);
        if whole.start < whole.end {
            self.shared.cache.forget(id, whole.start, whole.end);
        }
        if head {
            let end = (range.end - first * PAGE).min(PAGE);
            self.zero_within(id, first, (range.start % PAGE) as usize..end as usize)?;
        }
        if tail && (last > first || !head) {
            self.zero_within(id, last, 0..(range.end % PAGE) as usize)?;
        }
        Ok(())
    }

    fn zero_within(&self, id: FileId, index: u64, range: Range<usize>) -> io::Result<()> {
        let cache = &self.shared.cache;
        self.shared.buffers.with(cache, |buffers| {
            let (worker, room) = buffers.parts(1);
            let page = &mut room[0];
            match cache.lookup(worker, id, index, page) {
                Lookup::Miss => return Ok(()),
                Lookup::Corrupt => return Err(io::Error::from_raw_os_error(libc::EIO)),
                Lookup::Hit => {}
            }
            page[range].fill(0);
            cache
                .pin(worker, id, index, page)
                .map_err(|_| io::Error::from_raw_os_error(libc::ENOSPC))
        })
    }

    /// Finds data or a hole: a page that is held, or one that is not.
    pub(super) fn seek_in_memory(&self, offset: u64, hole: bool) -> io::Result<u64> {
        let size = self.size.load(Ordering::Relaxed);
        let past = || io::Error::from_raw_os_error(libc::ENXIO);
        if offset >= size {
            return Err(past());
        }
        let cache = &self.shared.cache;
        let mut index = offset / PAGE;
        if !hole {
            let next = self.id.and_then(|id| cache.next_held(id, index));
            let at = next.map(|page| (page * PAGE).max(offset));
            return at.filter(|at| *at < size).ok_or_else(past);
        }
        while index * PAGE < size && self.id.is_some_and(|id| cache.holds(id, index)) {
            index += 1;
        }
        Ok((index * PAGE).max(offset).min(size))
    }

    /// Lets go of pages that nobody can ask for any more.
    pub(super) fn abandon(&self) {
        let _one = self.exclusive.lock();
        let mut state = self.state.lock();
        let dirty: Vec<u64> = state.dirty.pages().collect();
        for page in &dirty {
            state.dirty.remove(*page);
        }
        self.shared.write_back.became_clean(dirty.len() as u64);
        if let Some(id) = self.id {
            self.shared.cache.forget(id, 0, u64::MAX);
        }
        drop(state);
        self.forget_if_clean();
    }
}

/// The time of modification is now; that of access stays.
fn modified_now() -> Timestamps {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    }
}
