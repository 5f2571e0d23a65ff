//! Which pages of a file are dirty, and what became of writing them out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use compcache_engine::disk::PAGE;

/// Which failed write-backs were reported to one open file.
#[derive(Debug, Default)]
pub struct Reported(AtomicU64);

/// The dirty pages of a file.
///
/// 1. `since`, `written_at` and `source` are set for as long as `pages` is not empty, and no longer.
/// 2. The numbers in `pages` differ, and are at most `writes`.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// By index; the number changes with each write of the page.
    pages: BTreeMap<u64, u64>,
    writes: u64,
    /// When the oldest of them was written.
    since: Option<Instant>,
    /// When the last of them was written, in nanoseconds since 1970.
    written_at: Option<i128>,
    /// The file on SOURCE, open for writing, while there are dirty pages.
    source: Option<Arc<File>>,
    failure: Option<Failure>,
}

/// The last write-out that failed.
#[derive(Clone, Copy, Debug)]
struct Failure {
    /// Its number among the failures of this file, from 1 on.
    number: u64,
    errno: i32,
    /// It was reported to some open file.
    reported: bool,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub(super) fn contains(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// The dirty pages, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = u64> {
        self.pages.keys().copied()
    }

    /// Where the last of them ends, in bytes, or 0.
    pub(super) fn end_of_pages(&self) -> u64 {
        self.pages
            .last_key_value()
            .map_or(0, |(page, _)| (page + 1) * PAGE)
    }

    /// When the oldest of them was written.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// When the last of them was written, in nanoseconds since 1970.
    pub(super) fn written_at(&self) -> Option<i128> {
        self.written_at
    }

    /// The file that they go to.
    pub(super) fn source(&self) -> Option<&Arc<File>> {
        self.source.as_ref()
    }

    /// A page was written. Returns whether it was clean before.
    pub(super) fn add(&mut self, page: u64, source: &Arc<File>) -> bool {
        self.writes += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.written_at = Some(now.map_or(0, |d| d.as_nanos() as i128));
        self.since.get_or_insert_with(Instant::now);
        self.source.get_or_insert_with(|| Arc::clone(source));
        self.pages.insert(page, self.writes).is_none()
    }

    /// Up to `most` neighbouring dirty pages, the first of them at `from` or later: its index, and
    /// for each the number of its last write.
    pub(super) fn run(&self, from: u64, most: usize) -> Option<(u64, Vec<u64>)> {
        let mut pages = self.pages.range(from..);
        let (&first, &write) = pages.next()?;
        let mut writes = vec![write];
        for ((&page, &write), expected) in pages.zip(first + 1..) {
            if page != expected || writes.len() == most {
                break;
            }
            writes.push(write);
        }
        Some((first, writes))
    }

    /// The dirty pages of a range, each with the number of its last write.
    pub(super) fn writes_in(&self, pages: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        self.pages.range(pages).map(|(page, write)| (*page, *write))
    }

    /// A page was written out as it was after that write. Returns whether it is clean now.
    pub(super) fn clean(&mut self, page: u64, write: u64) -> bool {
        let clean = self.pages.get(&page) == Some(&write);
        if clean {
            self.remove(page);
        }
        clean
    }

    /// A page is needed no more, or is on SOURCE. Returns whether it was dirty.
    pub(super) fn remove(&mut self, page: u64) -> bool {
        let was = self.pages.remove(&page).is_some();
        if self.pages.is_empty() {
            (self.since, self.source, self.written_at) = (None, None, None);
        }
        was
    }

    /// Writing out failed.
    pub(super) fn failed(&mut self, error: &io::Error) {
        self.failure = Some(Failure {
            number: self.failure.map_or(0, |f| f.number) + 1,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            reported: false,
        });
    }

    /// Reports the last failure to an open file, once. One that was not reported yet is reported to
    /// files that were opened later, too (as with Linux' `errseq_t`).
    pub(super) fn report(&mut self, reported: &Reported) -> io::Result<()> {
        let Some(failure) = &mut self.failure else {
            return Ok(());
        };
        failure.reported = true;
        if reported.0.swap(failure.number, Ordering::Relaxed) < failure.number {
            return Err(io::Error::from_raw_os_error(failure.errno));
        }
        Ok(())
    }

    /// What counts as reported to a file that is opened now: all failures but the last, if that was
    /// not reported to any.
    pub(super) fn opened(&self) -> Reported {
        let number = self
            .failure
            .map_or(0, |f| f.number - u64::from(!f.reported));
        Reported(AtomicU64::new(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(File::open("/dev/null").unwrap())
    }

    #[test]
    fn runs_are_neighbours_and_bounded() {
        let mut dirty = Dirty::default();
        for page in [3, 4, 5, 9, 10] {
            assert!(dirty.add(page, &file()));
        }
        assert!(!dirty.add(4, &file()));
        assert_eq!(dirty.run(0, 100), Some((3, vec![1, 6, 3])));
        assert_eq!(dirty.run(0, 2), Some((3, vec![1, 6])));
        assert_eq!(dirty.run(6, 100), Some((9, vec![4, 5])));
        assert_eq!(dirty.run(11, 100), None);
        assert!(!dirty.clean(4, 2), "it was written again meanwhile");
        assert!(dirty.clean(4, 6));
        assert_eq!(dirty.run(0, 100), Some((3, vec![1])));
        assert_eq!(
            (dirty.pages().count(), dirty.end_of_pages()),
            (4, 11 * 4096)
        );
        for page in [3, 5, 9, 10] {
            assert!(dirty.source().is_some() && dirty.since().is_some());
            assert!(dirty.remove(page));
        }
        assert!(dirty.source().is_none() && dirty.written_at().is_none());
    }

    #[test]
    fn each_open_file_is_told_of_a_failure_once() {
        let errno = |result: io::Result<()>| result.err().and_then(|e| e.raw_os_error());
        let mut dirty = Dirty::default();
        let (one, other) = (dirty.opened(), dirty.opened());
        assert_eq!(errno(dirty.report(&one)), None);
        dirty.failed(&io::Error::from_raw_os_error(libc::ENOSPC));
        let late = dirty.opened();
        assert_eq!(
            errno(dirty.report(&late)),
            Some(libc::ENOSPC),
            "not reported yet"
        );
        let later = dirty.opened();
        assert_eq!(errno(dirty.report(&later)), None, "reported already");
        dirty.failed(&io::Error::from_raw_os_error(libc::EIO));
        for file in [&one, &late, &later, &other] {
            assert_eq!(errno(dirty.report(file)), Some(libc::EIO));
            assert_eq!(errno(dirty.report(file)), None, "once");
        }
    }
}
