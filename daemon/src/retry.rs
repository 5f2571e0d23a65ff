//! When to try again what no event announces: pages fit back into memory, a block device is let go of.

use std::time::{Duration, Instant};

/// Time to the first try.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

/// Time between two tries, at most: a swap-off that fails may have read many pages back before.
const LONGEST: Duration = Duration::from_secs(60);

/// The next try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    at: Instant,
    failed: u32,
}

impl Retry {
    /// Soon.
    pub(crate) fn begin() -> Self {
        Self::after(0)
    }

    fn after(failed: u32) -> Self {
        Retry {
            at: Instant::now() + pause(failed),
            failed,
        }
    }

    /// Later: twice as long after a try as before it, up to a minute.
    pub(crate) fn next(self) -> Self {
        Self::after(self.failed.saturating_add(1))
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

/// The time to the next try after so many that failed: 1, 2, 4, ... seconds, up to a minute.
pub(crate) fn pause(failed: u32) -> Duration {
    SHORTEST
        .saturating_mul(2_u32.saturating_pow(failed))
        .min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_up_to_one_a_minute() {
        let after = std::iter::successors(Some(Retry::begin()), |retry| Some(retry.next()));
        let seconds: Vec<_> = after
            .take(9)
            .map(|retry| pause(retry.failed).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
