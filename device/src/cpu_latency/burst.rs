//! When requests come in quick succession.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So many requests make a burst: a power of two.
const REQUESTS: u64 = 8;

/// When they come within so many nanoseconds.
const WITHIN_NS: u64 = 8_000_000;

/// Counts requests, and looks at the clock with every [`REQUESTS`]th.
#[derive(Debug, Default)]
pub(super) struct Burst {
    requests: AtomicU64,
    looked_ns: AtomicU64,
}

impl Burst {
    /// Counts a request; whether the last ones came quickly. `now_ns` gives the time since
    /// some moment in the past.
    #[inline]
    pub(super) fn request(&self, now_ns: impl FnOnce() -> u64) -> bool {
        let requests = self.requests.fetch_add(1, Relaxed).wrapping_add(1);
        if !requests.is_multiple_of(REQUESTS) {
            return false;
        }
        let now = now_ns();
        let before = self.looked_ns.swap(now, Relaxed);
        // Before the first look nothing is known.
        before != 0 && now.saturating_sub(before) <= WITHIN_NS
    }

    /// How many there were so far; wraps around.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With which of 64 requests, `step` apart, a burst is seen.
    fn seen(step: u64) -> Vec<u64> {
        let burst = Burst::default();
        (1..=64)
            .filter(|n| burst.request(|| 1_000_000_000 + n * step))
            .collect()
    }

    #[test]
    fn requests_that_come_quickly_are_a_burst() {
        assert_eq!(seen(100_000), [16, 24, 32, 40, 48, 56, 64]);
        assert_eq!(seen(1_000_000).len(), 7);
    }

    #[test]
    fn requests_that_come_slowly_are_none() {
        assert!(seen(1_100_000).is_empty());
        assert!(seen(u64::MAX / 128).is_empty());
    }
}
