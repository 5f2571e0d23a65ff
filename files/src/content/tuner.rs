//! What requests leave for the tuner's thread, and what its measurements tell them: whether it pays
//! to admit a page, and to read ahead.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compcache_host::keeper::Wake;

use super::source::Reader;

/// Time of a hit, when many pages are requested at once.
const HIT_NS: u64 = 4_000;

/// A SOURCE whose reads take longer is slow: a spinning disk, a memory card, a network.
const SLOW_NS: u64 = 500_000;

/// Weight of a new measurement of the time of a read from SOURCE: 1/16.
const WEIGHT: u64 = 16;

/// What requests tell the tuner.
pub(super) struct Tuner {
    pub(super) reader: Reader,
    pub(super) requests: AtomicU64,
    pub(super) sleeps: AtomicBool,
    pub(super) wake: Arc<Wake>,
    /// Nanoseconds that reading a page from SOURCE takes; 0 before the first.
    pub(super) miss_ns: AtomicU64,
    /// Nanoseconds that one read of SOURCE takes, of however many pages.
    read_ns: AtomicU64,
    /// Nanoseconds that it takes to compress a page and take it in.
    take_ns: AtomicU64,
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuner").finish_non_exhaustive()
    }
}

impl Tuner {
    /// # Errors
    /// If the process has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Tuner {
            reader: Reader::default(),
            requests: AtomicU64::new(0),
            sleeps: AtomicBool::new(false),
            wake: Arc::new(Wake::with_event()?),
            miss_ns: AtomicU64::new(0),
            read_ns: AtomicU64::new(0),
            take_ns: AtomicU64::new(0),
        })
    }

    /// A request came.
    pub(super) fn busy(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.sleeps.load(Ordering::Acquire) {
            self.wake.wake();
        }
    }

    /// Pages were read from SOURCE in that time. Returns what one of them took, in nanoseconds.
    pub(super) fn record_miss(&self, time: Duration, pages: usize) -> u64 {
        let time = ns(time);
        let each = time / pages.max(1) as u64;
        average(&self.miss_ns, each);
        average(&self.read_ns, time);
        each
    }

    /// A page was compressed and inserted, in that time.
    pub(super) fn record_insert(&self, time: Duration) {
        average(&self.take_ns, ns(time));
    }

    /// Whether it pays to admit pages of which reading one took so long.
    pub(super) fn worth_caching(&self, ns_a_page: u64) -> bool {
        ns_a_page > self.take_ns.load(Ordering::Relaxed) + HIT_NS
    }

    /// Whether a read of SOURCE takes so long that it should read ahead.
    pub(super) fn is_slow(&self) -> bool {
        self.read_ns.load(Ordering::Relaxed) > SLOW_NS
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Takes a new measurement into a moving average.
fn average(of: &AtomicU64, new: u64) {
    let before = of.load(Ordering::Relaxed);
    let now = if before == 0 {
        new
    } else {
        before - before / WEIGHT + new / WEIGHT
    };
    // Of two threads at once one wins: it is an average.
    of.store(now, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_sources_are_told_from_fast_ones() {
        let tuner = Tuner::new().unwrap();
        assert!(!tuner.is_slow() && tuner.worth_caching(HIT_NS + 1));
        tuner.record_insert(Duration::from_micros(10));
        assert!(!tuner.worth_caching(HIT_NS + 10_000) && tuner.worth_caching(HIT_NS + 10_001));
        assert_eq!(tuner.record_miss(Duration::from_millis(2), 4), 500_000);
        assert!(tuner.is_slow());
        (0..100).for_each(|_| {
            tuner.record_miss(Duration::from_micros(50), 1);
        });
        assert!(!tuner.is_slow());
    }
}
