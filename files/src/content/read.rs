//! Reading: from the cache what is held, the rest from SOURCE; then the answer; then the cache
//! takes in what it wants.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use compcache_engine::ccache::{FileId, Found, Verdict};
use compcache_engine::store::Worker;
use compcache_engine::{PAGE_SIZE, Page};

use super::{Content, Mode, source};

/// A page as a length of bytes in a file.
pub(super) const PAGE: u64 = PAGE_SIZE as u64;

/// Pages of a request that are not held: from one to before another, counted from its first page.
type Run = (usize, usize);

/// What was read.
struct Filled {
    /// Bytes from the first page's start on that the file has.
    bytes: usize,
    /// What came from SOURCE and is whole.
    runs: Vec<Run>,
}

impl Content {
    /// Reads up to `size` bytes at `offset`, and hands them to `reply` (fewer at the end of the
    /// file). `reply` is called exactly once; afterwards pages may be taken in.
    ///
    /// `source` is the file, open for reading.
    pub fn read(
        &self,
        source: &File,
        offset: u64,
        size: usize,
        reply: impl FnOnce(io::Result<&[u8]>),
    ) {
        let size = match self.clip(source, offset, size) {
            Ok(size) => size,
            Err(error) => return reply(Err(error)),
        };
        self.shared.tuner.busy();
        let first = offset / PAGE;
        let skip = (offset % PAGE) as usize;
        let pages = (skip + size).div_ceil(PAGE_SIZE);
        self.shared.benches.with(&self.shared.cache, |bench| {
            let (worker, pages) = bench.parts(pages);
            let (begun, ended) = self.changes();
            let filled = match self.fill(worker, source, first, pages) {
                Ok(filled) => filled,
                Err(error) => return reply(Err(error)),
            };
            let end = filled.bytes.min(skip + size).max(skip);
            reply(Ok(&pages.as_flattened()[skip..end]));
            if begun == ended
                && let Some(id) = self.id
            {
                self.take_in(worker, id, first, pages, &filled.runs, begun);
            }
        });
    }

    /// Changes that have begun and ended.
    fn changes(&self) -> (u64, u64) {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst), ended)
    }

    /// How much of a read the file has. The kernel never asks for pages past what it thinks is the
    /// end: where it does, the file has grown on SOURCE.
    fn clip(&self, source: &File, offset: u64, size: usize) -> io::Result<usize> {
        let mut end = self.size.load(Ordering::Relaxed);
        let wanted = offset.saturating_add(size as u64);
        if wanted > end.next_multiple_of(PAGE) && self.shared.mode != Mode::Memory {
            end = end.max(source::stamp_of(source)?.size);
        }
        Ok((end.saturating_sub(offset)).min(size as u64) as usize)
    }

    /// Fills pages from `first` on.
    fn fill(
        &self,
        worker: &mut Worker,
        source: &File,
        first: u64,
        pages: &mut [Page],
    ) -> io::Result<Filled> {
        let mut runs: Vec<Run> = Vec::new();
        for (at, page) in pages.iter_mut().enumerate() {
            let found = match self.id {
                Some(id) => self.shared.cache.read(worker, id, first + at as u64, page),
                None => Found::Absent,
            };
            match found {
                Found::Here => {}
                Found::Corrupt if self.has_only_copy(first + at as u64) => {
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                Found::Absent | Found::Corrupt if self.shared.mode == Mode::Memory => page.fill(0),
                Found::Absent | Found::Corrupt => match runs.last_mut() {
                    Some((_, end)) if *end == at => *end += 1,
                    _ => runs.push((at, at + 1)),
                },
            }
        }
        let mut bytes = pages.len() * PAGE_SIZE;
        let mut whole = 0;
        for (start, end) in &mut runs {
            let before = Instant::now();
            let wanted = pages[*start..*end].as_flattened_mut();
            let offset = (first + *start as u64) * PAGE;
            let came = self.shared.tuner.reader.read(source, offset, wanted)?;
            self.shared.tuner.missed(before.elapsed(), *end - *start);
            wanted[came..].fill(0);
            if came < wanted.len() {
                // The end of the file: what was held behind it is of no use, either.
                bytes = *start * PAGE_SIZE + came;
                *end = *start + came.div_ceil(PAGE_SIZE);
                whole += 1;
                break;
            }
            whole += 1;
        }
        runs.truncate(whole);
        Ok(Filled { bytes, runs })
    }

    /// Hands pages that came from SOURCE to the cache.
    fn take_in(
        &self,
        worker: &mut Worker,
        id: FileId,
        first: u64,
        pages: &[Page],
        runs: &[Run],
        begun: u64,
    ) {
        let cache = &self.shared.cache;
        for at in runs.iter().flat_map(|(start, end)| *start..*end) {
            let index = first + at as u64;
            if cache.ask(id, index) == Verdict::TakeIn {
                let unchanged = || self.begun.load(Ordering::SeqCst) == begun;
                cache.add(worker, id, index, &pages[at], unchanged);
            }
        }
    }

    /// Whether a page is nowhere else.
    pub(super) fn has_only_copy(&self, index: u64) -> bool {
        self.shared.mode == Mode::Memory || self.state.lock().dirty.contains(index)
    }
}
