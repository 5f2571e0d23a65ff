//! Looks for the limit under which an area and its processes take so much memory in all.

/// How far the memory may be from what is wanted.
pub(crate) const TOLERANCE: f64 = 0.03;

/// A limit that was tried, and the memory taken in all; bytes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Trial {
    /// What the processes might hold in memory.
    pub(crate) limit: u64,
    /// What they and the area took.
    pub(crate) total: u64,
}

/// A search by the secant method, held within bounds.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    target: u64,
    bounds: (u64, u64),
    pub(crate) trials: Vec<Trial>,
}

/// By how much the memory can change with the limit: what lies within is measured, what lies
/// outside is noise.
const SLOPES: (f64, f64) = (0.2, 3.0);

impl Search {
    /// Looks for the limit that makes the memory `target`, not below the first of the `bounds`
    /// and not above the second, beginning with a trial that has been made.
    pub(crate) fn new(target: u64, bounds: (u64, u64), known: Trial) -> Self {
        Search {
            target,
            bounds,
            trials: vec![known],
        }
    }

    pub(crate) fn add(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// Counts a trial that failed, for the kernel killed a program that had so little: from now
    /// on no limit is tried that is not half-way to the best at least.
    pub(crate) fn fail(&mut self, limit: u64) {
        let best = self.best().limit;
        if limit < best {
            self.bounds.0 = limit + (best - limit) / 2;
        } else {
            self.bounds.1 = limit - (limit - best) / 2;
        }
    }

    /// The limit to be tried next; `None` if the best is near enough or lies at a bound.
    pub(crate) fn next(&self) -> Option<u64> {
        let best = self.best();
        if self.error(&best) <= TOLERANCE {
            return None;
        }
        // The line through the two nearest, or one byte of memory for each of the limit.
        let mut sorted = self.trials.clone();
        sorted.sort_by(|a, b| self.error(a).total_cmp(&self.error(b)));
        let slope = match sorted[..] {
            [a, b, ..] if a.limit != b.limit => {
                (a.total as f64 - b.total as f64) / (a.limit as f64 - b.limit as f64)
            }
            _ => 1.0,
        };
        let missing = self.target as f64 - best.total as f64;
        let limit = best.limit as f64 + missing / slope.clamp(SLOPES.0, SLOPES.1);
        let (low, high) = self.bounds;
        let limit = (limit.max(0.0) as u64).clamp(low, high);
        let tried = self.trials.iter().any(|trial| trial.limit == limit);
        (!tried).then_some(limit)
    }

    pub(crate) fn best(&self) -> Trial {
        let [first, others @ ..] = &self.trials[..] else {
            unreachable!("there is one from the beginning");
        };
        let nearer = |a, b| if self.error(b) < self.error(a) { b } else { a };
        *others.iter().fold(first, nearer)
    }

    fn error(&self, trial: &Trial) -> f64 {
        (trial.total as f64 / self.target as f64 - 1.0).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Searches with at most three trials of a machine that takes `total(limit)`.
    fn search(target: u64, total: impl Fn(u64) -> u64) -> Search {
        let at = |limit| Trial {
            limit,
            total: total(limit),
        };
        let mut search = Search::new(target * MIB, (64 * MIB, 480 * MIB), at(256 * MIB));
        for _ in 0..3 {
            let Some(limit) = search.next() else { break };
            assert!((64 * MIB..=480 * MIB).contains(&limit), "{limit}");
            search.add(at(limit));
        }
        search
    }

    #[test]
    fn three_trials_are_enough_for_a_straight_or_a_bent_line() {
        let pool = |limit: u64| (512 * MIB).saturating_sub(limit);
        // What zram does: what is in memory is not in the pool.
        let exclusive = |limit: u64| limit + pool(limit) / 3 + 16 * MIB;
        // What a swap cache does: nearly all of it is in the pool too.
        let inclusive = |limit: u64| limit + 180 * MIB;
        // Bent: the pool holds more under more pressure.
        let bent = |limit: u64| limit + (pool(limit) as f64).powf(1.2) as u64 / 200;
        for target in [300, 360, 400] {
            for total in [&exclusive as &dyn Fn(u64) -> u64, &inclusive, &bent] {
                let search = search(target, total);
                let found = search.best().total as f64 / (target * MIB) as f64;
                assert!((found - 1.0).abs() <= TOLERANCE, "{target}: {search:?}");
                assert_eq!(search.next(), None);
            }
        }
    }

    #[test]
    fn what_fits_at_once_needs_no_trial() {
        let search = search(300, |_| 301 * MIB);
        assert_eq!(search.trials.len(), 1);
        assert_eq!(search.best().limit, 256 * MIB);
    }

    #[test]
    fn where_no_limit_is_low_enough_the_bound_is_the_end() {
        let search = search(40, |limit| limit + 100 * MIB);
        assert_eq!(search.best().limit, 64 * MIB);
        assert_eq!(search.trials.len(), 2, "the bound is tried once");
    }

    #[test]
    fn what_is_too_little_to_run_is_come_near() {
        let at = |limit| Trial {
            limit,
            total: limit + 100 * MIB,
        };
        let mut search = Search::new(196 * MIB, (64 * MIB, 480 * MIB), at(256 * MIB));
        // Below 150 MiB nothing runs.
        assert_eq!(search.next(), Some(96 * MIB));
        search.fail(96 * MIB);
        assert_eq!(search.next(), Some(176 * MIB));
        search.add(at(176 * MIB));
        assert_eq!(search.best().limit, 176 * MIB);
        assert_eq!(search.next(), None, "the bound has been tried");
    }

    #[test]
    fn noise_does_not_lead_astray() {
        // The memory does not depend on the limit at all: the slope is taken for a small one.
        let search = search(350, |limit| 400 * MIB + limit % 7);
        assert!(search.trials.len() <= 4);
    }
}
