//! Writing: through to SOURCE, or into dirty pages.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use compcache_engine::ccache::{FileId, Lookup};
use compcache_engine::disk::PAGE;
use compcache_engine::store::Worker;
use compcache_engine::{PAGE_SIZE, Page};

use super::file_content::Content;
use super::mode::Mode;
use super::stamp::stamp_of;
use crate::identity::Caller;

impl Content {
    /// Writes `data` at `offset` in the name of `caller`, whose identity the thread may keep.
    ///
    /// `source` is the file, open for writing, and for reading too if writes are kept; it is
    /// held for as long as pages are dirty.
    ///
    /// # Errors
    /// Those of writing to SOURCE, or ENOSPC on a `--ram` mount.
    pub fn write(
        &self,
        caller: Caller,
        source: &Arc<File>,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        match (self.shared.mode, self.id) {
            (Mode::Through, _) | (Mode::Back, None) => {
                self.write_through(caller, source, offset, data)
            }
            (Mode::Back, Some(id)) => self.write_back(caller, id, source, offset, data),
            (Mode::Memory, _) => self.write_to_memory(source, offset, data),
        }
    }

    /// Writes to SOURCE; what is held of these pages is dropped.
    fn write_through(
        &self,
        caller: Caller,
        source: &Arc<File>,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let changing = self.begin_change();
        let written = caller.write(|| source.write_all_at(data, offset));
        if let Some(id) = self.id {
            // Also after a failure: how much was written is not known.
            self.shared
                .cache
                .invalidate(id, offset / PAGE, end.div_ceil(PAGE));
        }
        if written.is_ok() {
            self.size.fetch_max(end, Ordering::Relaxed);
        }
        self.restamp_from(source);
        drop(changing);
        self.shared.write_back.wrote_through(source);
        written
    }

    /// Keeps the data in dirty pages.
    fn write_back(
        &self,
        caller: Caller,
        id: FileId,
        source: &Arc<File>,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        self.shared.tuner.busy();
        let kept = self.keep_pieces(caller, id, source, offset, data);
        // Also after a failure: the pages before it are dirty.
        self.note_dirty();
        kept?;
        if self.shared.write_back.pages() * PAGE > self.shared.limits.dirty {
            // Failures are kept for fsync and close, and the pages stay.
            let _ = self.write_out();
        }
        Ok(())
    }

    /// Makes the pages of a write dirty, one after the other. After a failure those before it are.
    fn keep_pieces(
        &self,
        caller: Caller,
        id: FileId,
        source: &Arc<File>,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let _changing = self.begin_change();
        if end > self.size.load(Ordering::Relaxed) {
            self.extend(caller, source, end)?;
        }
        self.shared.buffers.with(&self.shared.cache, |buffers| {
            let (worker, room) = buffers.parts(1);
            pieces(offset, data).try_for_each(|piece| {
                let page = &mut room[0];
                if let Err(error) = self.compose(worker, id, source, &piece, page) {
                    return match error.raw_os_error() {
                        // Not open for reading.
                        Some(libc::EBADF) => self.write_piece_out(caller, id, source, &piece),
                        _ => Err(error),
                    };
                }
                // The lock makes one of pinning the page and noting it (1 of `State`).
                let mut state = self.state.lock();
                if self.shared.cache.pin(worker, id, piece.page, page).is_ok() {
                    if state.dirty.add(piece.page, source) {
                        self.shared.write_back.became_dirty(1);
                    }
                    return Ok(());
                }
                drop(state);
                self.write_piece_out(caller, id, source, &piece)
            })
        })
    }

    /// Makes the file longer on SOURCE at once, so that its size is right there.
    fn extend(&self, caller: Caller, source: &File, end: u64) -> io::Result<()> {
        let stamp = stamp_of(source)?;
        if stamp.size < end {
            caller.write(|| source.set_len(end))?;
        }
        self.size.fetch_max(end, Ordering::Relaxed);
        self.restamp_from(source);
        Ok(())
    }

    /// A page as it is once the piece is written.
    fn compose(
        &self,
        worker: &mut Worker,
        id: FileId,
        source: &File,
        piece: &Piece<'_>,
        page: &mut Page,
    ) -> io::Result<()> {
        if piece.bytes.len() < PAGE_SIZE {
            match self.shared.cache.lookup(worker, id, piece.page, page) {
                Lookup::Hit => {}
                Lookup::Corrupt if self.has_only_copy(piece.page) => {
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                Lookup::Miss | Lookup::Corrupt => {
                    let reader = &self.shared.tuner.reader;
                    let came = reader.read(source, piece.page * PAGE, page)?;
                    page[came..].fill(0);
                }
            }
        }
        page[piece.at..piece.at + piece.bytes.len()].copy_from_slice(piece.bytes);
        Ok(())
    }

    /// Writes a piece for which there is no room to SOURCE.
    fn write_piece_out(
        &self,
        caller: Caller,
        id: FileId,
        source: &Arc<File>,
        piece: &Piece<'_>,
    ) -> io::Result<()> {
        // What is dirty of the page goes first, under the piece.
        self.write_out()?;
        let offset = piece.page * PAGE + piece.at as u64;
        caller.write(|| source.write_all_at(piece.bytes, offset))?;
        self.shared.cache.invalidate(id, piece.page, piece.page + 1);
        self.restamp_from(source);
        Ok(())
    }
}

/// A part of a write that lies in one page.
pub(super) struct Piece<'a> {
    /// The page's index.
    pub(super) page: u64,
    /// Where in the page it starts.
    pub(super) at: usize,
    pub(super) bytes: &'a [u8],
}

/// The pieces of a write.
pub(super) fn pieces(offset: u64, data: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let position = offset + done as u64;
        let at = (position % PAGE) as usize;
        let length = (PAGE_SIZE - at).min(data.len() - done);
        if length == 0 {
            return None;
        }
        let bytes = &data[done..done + length];
        done += length;
        Some(Piece {
            page: position / PAGE,
            at,
            bytes,
        })
    })
}
