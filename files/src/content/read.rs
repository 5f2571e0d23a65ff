//! Reading: held pages from the cache, the others from SOURCE; then the reply; then pages are
//! admitted to the cache.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

use compcache_engine::ccache::{Decision, FileId, Lookup, Read};
use compcache_engine::disk::PAGE;
use compcache_engine::store::Worker;
use compcache_engine::{PAGE_SIZE, Page};

use super::file_content::Content;
use super::mode::Mode;
use super::stamp::stamp_of;

/// Pages of a request that are not held, counted from the first that is worked on.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    end: usize,
    /// The time that reading one of them from SOURCE took, in nanoseconds.
    ns_a_page: u64,
}

impl Run {
    /// Leaves only what is within `wanted`; whether there was more. It must meet `wanted`.
    fn narrow(&mut self, wanted: &Range<usize>) -> bool {
        let before = (self.start, self.end);
        self.start = self.start.max(wanted.start);
        self.end = self.end.min(wanted.end);
        before != (self.start, self.end)
    }
}

/// If SOURCE is slow, what lies around a page that is not held is read with it, up to multiples
/// of so many pages.
const AROUND: u64 = 8;

/// The pages that are worked on for a read.
struct Span {
    /// Index of the first of them.
    first: u64,
    /// How many they are.
    pages: usize,
    /// Those of them that were requested.
    wanted: Range<usize>,
}

/// What was read.
struct Filled {
    /// Bytes from the first page's start on that the file has.
    bytes: usize,
    /// What came from SOURCE and is whole.
    runs: Vec<Run>,
}

impl Content {
    /// Reads up to `size` bytes at `offset`, and hands them to `reply` (fewer at the end of the
    /// file). `reply` is called exactly once; afterwards pages may be inserted into the cache.
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
        let span = self.span(offset, size);
        self.shared.buffers.with(&self.shared.cache, |buffers| {
            let (worker, pages) = buffers.parts(span.pages);
            let (begun, ended) = self.changes();
            let filled = match self.fill(worker, source, &span, pages) {
                Ok(filled) => filled,
                Err(error) => return reply(Err(error)),
            };
            let start = (offset - span.first * PAGE) as usize;
            let end = filled.bytes.min(start + size).max(start);
            reply(Ok(&pages.as_flattened()[start..end]));
            if begun == ended
                && let Some(id) = self.id
            {
                self.insert_pages(worker, id, &span, pages, &filled.runs, begun);
            }
        });
    }

    /// The pages that are worked on for a read.
    fn span(&self, offset: u64, size: usize) -> Span {
        let (first, end) = (offset / PAGE, (offset + size as u64).div_ceil(PAGE));
        let count = (end - first) as usize;
        let shared = &self.shared;
        if count as u64 > AROUND
            || shared.mode == Mode::Memory
            || !shared.tuner.is_slow()
            || !shared.cache.has_room()
        {
            return Span {
                first,
                pages: count,
                wanted: 0..count,
            };
        }
        let file_end = self.size.load(Ordering::Relaxed).div_ceil(PAGE).max(end);
        let start = first / AROUND * AROUND;
        let wanted = (first - start) as usize;
        Span {
            first: start,
            pages: (end.next_multiple_of(AROUND).min(file_end) - start) as usize,
            wanted: wanted..wanted + count,
        }
    }

    /// Changes that have begun and ended.
    fn changes(&self) -> (u64, u64) {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst), ended)
    }

    /// How much of a read the file has. The kernel never asks for pages past what it thinks is the
    /// end: if it does, the file has grown on SOURCE.
    fn clip(&self, source: &File, offset: u64, size: usize) -> io::Result<usize> {
        let mut end = self.size.load(Ordering::Relaxed);
        let wanted = offset.saturating_add(size as u64);
        if wanted > end.next_multiple_of(PAGE) && self.shared.mode != Mode::Memory {
            end = end.max(stamp_of(source)?.size);
        }
        Ok((end.saturating_sub(offset)).min(size as u64) as usize)
    }

    /// Fills the pages that were requested, and those that are read ahead.
    fn fill(
        &self,
        worker: &mut Worker,
        source: &File,
        span: &Span,
        pages: &mut [Page],
    ) -> io::Result<Filled> {
        let first = span.first;
        let mut runs: Vec<Run> = Vec::new();
        for at in span.wanted.clone() {
            let page = &mut pages[at];
            let found = match self.id {
                Some(id) => self.shared.cache.read(worker, id, first + at as u64, page),
                None => Lookup::Miss,
            };
            match found {
                Lookup::Hit => {}
                Lookup::Corrupt if self.has_only_copy(first + at as u64) => {
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                Lookup::Miss | Lookup::Corrupt if self.shared.mode == Mode::Memory => page.fill(0),
                Lookup::Miss | Lookup::Corrupt => match runs.last_mut() {
                    Some(run) if run.end == at => run.end += 1,
                    _ => runs.push(Run {
                        start: at,
                        end: at + 1,
                        ns_a_page: 0,
                    }),
                },
            }
        }
        self.widen(&mut runs, span);
        let mut bytes = pages.len() * PAGE_SIZE;
        let mut whole = 0;
        for run in &mut runs {
            let before = Instant::now();
            let read = |run: &Run, pages: &mut [Page]| {
                let offset = (first + run.start as u64) * PAGE;
                let into = pages[run.start..run.end].as_flattened_mut();
                self.shared.tuner.reader.read(source, offset, into)
            };
            let came = match read(run, pages) {
                // What cannot be read may be a page that was read ahead.
                Err(_) if run.narrow(&span.wanted) => read(run, pages)?,
                came => came?,
            };
            let wanted = pages[run.start..run.end].as_flattened_mut();
            run.ns_a_page = self
                .shared
                .tuner
                .record_miss(before.elapsed(), run.end - run.start);
            whole += 1;
            wanted[came..].fill(0);
            if came < wanted.len() {
                // The end of the file: what was held behind it is of no use, either.
                bytes = run.start * PAGE_SIZE + came;
                run.end = run.start + came.div_ceil(PAGE_SIZE);
                break;
            }
        }
        runs.truncate(whole);
        Ok(Filled { bytes, runs })
    }

    /// Extends the outermost runs by pages to read ahead.
    fn widen(&self, runs: &mut [Run], span: &Span) {
        let Some(id) = self.id else { return };
        let held = |at: usize| self.shared.cache.holds(id, span.first + at as u64);
        if let Some(run) = runs
            .first_mut()
            .filter(|run| run.start == span.wanted.start)
        {
            while run.start > 0 && !held(run.start - 1) {
                run.start -= 1;
            }
        }
        if let Some(run) = runs.last_mut().filter(|run| run.end == span.wanted.end) {
            while run.end < span.pages && !held(run.end) {
                run.end += 1;
            }
        }
    }

    /// Inserts pages that came from SOURCE into the cache, if they are admitted.
    fn insert_pages(
        &self,
        worker: &mut Worker,
        id: FileId,
        span: &Span,
        pages: &[Page],
        runs: &[Run],
        begun: u64,
    ) {
        let (cache, tuner) = (&self.shared.cache, &self.shared.tuner);
        for run in runs {
            let worthwhile = tuner.worth_caching(run.ns_a_page);
            for (at, page) in (run.start..run.end).zip(&pages[run.start..run.end]) {
                let index = span.first + at as u64;
                let (read, decision) = if span.wanted.contains(&at) {
                    (Read::Demand, cache.should_admit(id, index, worthwhile))
                } else {
                    (Read::Readahead, cache.should_admit_readahead(id, index))
                };
                if decision == Decision::Admit {
                    let before = Instant::now();
                    let unchanged = || self.begun.load(Ordering::SeqCst) == begun;
                    cache.insert(worker, id, index, page, read, unchanged);
                    tuner.record_insert(before.elapsed());
                }
            }
        }
    }

    /// Whether the cache has the only copy of a page (1 of [`State`](super::State)).
    pub(super) fn has_only_copy(&self, index: u64) -> bool {
        self.shared.mode == Mode::Memory || self.state.lock().dirty.contains(index)
    }
}
