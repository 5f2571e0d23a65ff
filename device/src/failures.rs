//! Requests that fail, for the log: each is counted, and some are reported.
//!
//! Whoever serves a request neither allocates nor waits, and so writes no log. It notes the failure
//! here, and the keeper reports it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk_error::DiskError;

/// The least time between two reports.
const INTERVAL: Duration = Duration::from_secs(60);

/// Requests that failed for want of memory or room, or by the backing swap.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    writes: AtomicU64,
    reads: AtomicU64,
    /// Innermost. Requests wait for it: nothing is logged under it.
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<DiskError>,
    /// Requests to write and to read that had failed at the last report, and its time.
    reported: (u64, u64),
    at: Option<Instant>,
}

/// What is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    writes: u64,
    reads: u64,
    new: u64,
    error: DiskError,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            writes,
            reads,
            new,
            error,
        } = self;
        write!(
            f,
            "{new} request(s) failed since the last message, in all {writes} to write and {reads} to \
             read since the device was initialised; the last: {error}"
        )
    }
}

impl Failures {
    /// Notes a request that failed.
    pub(crate) fn note(&self, error: DiskError) {
        let counter = match error {
            DiskError::Read(_) => &self.reads,
            _ => &self.writes,
        };
        counter.fetch_add(1, Relaxed);
        self.last.lock().error = Some(error);
    }

    /// What is to be logged at this time: a failure that was not reported, if nothing was for a
    /// minute, or if there is no later chance.
    pub(crate) fn report(&self, now: Instant, no_later_chance: bool) -> Option<Report> {
        let counts = || (self.writes.load(Relaxed), self.reads.load(Relaxed));
        if counts() == (0, 0) {
            return None;
        }
        let mut last = self.last.lock();
        let error = last.error?;
        let (writes, reads) = counts();
        let new = writes + reads - (last.reported.0 + last.reported.1);
        let waits = last.at.is_some_and(|at| now.duration_since(at) < INTERVAL);
        if new == 0 || waits && !no_later_chance {
            return None;
        }
        last.reported = (writes, reads);
        last.at = Some(now);
        Some(Report {
            writes,
            reads,
            new,
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use compcache_engine::store::{ReadError, WriteError};

    use super::*;

    fn no_space(index: u64) -> DiskError {
        WriteError::NoSpace { index }.into()
    }

    #[test]
    fn the_first_failure_is_reported_at_once_and_many_more_once_a_minute() {
        let (failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.report(start, false), None);
        failures.note(no_space(7));
        let first = failures.report(start, false).unwrap();
        assert_eq!((first.writes, first.reads, first.new), (1, 0, 1));
        assert_eq!(first.error, no_space(7));
        for index in 0..281_899 {
            failures.note(no_space(index));
            assert_eq!(failures.report(start + INTERVAL / 2, false), None);
        }
        let later = failures.report(start + INTERVAL, false).unwrap();
        assert_eq!((later.writes, later.new), (281_900, 281_899));
        let text = later.to_string();
        assert!(
            text.contains("281900 to write") && text.contains("page 281898"),
            "{text}"
        );
        assert_eq!(failures.report(start + 2 * INTERVAL, false), None);
    }

    #[test]
    fn what_was_not_reported_is_at_the_end() {
        let (failures, start) = (Failures::default(), Instant::now());
        failures.note(no_space(1));
        failures.report(start, false).unwrap();
        failures.note(ReadError::Corrupt { index: 3 }.into());
        assert_eq!(failures.report(start, false), None);
        let last = failures.report(start, true).unwrap();
        assert_eq!((last.writes, last.reads, last.new), (1, 1, 1));
        assert_eq!(failures.report(start, true), None);
    }
}
