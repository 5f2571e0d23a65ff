//! When to try again what no event announces: pages fit back into memory, a block device is let go of.

use std::time::{Duration, Instant};

/// Time to the first try.
const SHORTEST: Duration = Duration::from_secs(1);

/// Time between two tries, at most: a swap-off that fails may have read many pages back before.
const LONGEST: Duration = Duration::from_secs(60);

/// The next try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    at: Instant,
    after: Duration,
}

impl Retry {
    /// Soon.
    pub(crate) fn begin() -> Self {
        Self::after(SHORTEST)
    }

    fn after(after: Duration) -> Self {
        Retry {
            at: Instant::now() + after,
            after,
        }
    }

    /// Later: twice as long after a try as before it, up to a minute.
    pub(crate) fn next(self) -> Self {
        Self::after((self.after * 2).min(LONGEST))
    }

    /// How long that is from now.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it is time.
    pub(crate) fn is_due(self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_up_to_one_a_minute() {
        let after = std::iter::successors(Some(Retry::begin()), |retry| Some(retry.next()));
        let seconds: Vec<_> = after.take(9).map(|retry| retry.after.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
