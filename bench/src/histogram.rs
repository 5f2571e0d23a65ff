//! Times in buckets that grow with them.

use serde::{Deserialize, Serialize};

/// Each power of two has so many buckets: no time is off by more than a 32nd.
const PARTS: usize = 16;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// A histogram of times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram(Vec<u64>);

/// Buckets that are not empty, by number: how a histogram goes from one process to another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sparse(Vec<(usize, u64)>);

impl Histogram {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Histogram(vec![0; bucket(u64::MAX) + 1])
    }

    /// Counts a time.
    pub(crate) fn add(&mut self, ns: u64) {
        self.0[bucket(ns)] += 1;
    }

    /// Counts all that another process has counted.
    pub(crate) fn merge(&mut self, other: &Sparse) {
        for &(at, count) in &other.0 {
            if let Some(own) = self.0.get_mut(at) {
                *own += count;
            }
        }
    }

    /// The buckets that are not empty.
    pub(crate) fn sparse(&self) -> Sparse {
        let buckets = self.0.iter().copied().enumerate();
        Sparse(buckets.filter(|&(_, count)| count > 0).collect())
    }

    /// How many times are counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The `quantile` (0 to 1) of the `slowest` longest times, in nanoseconds; NaN of none.
    pub(crate) fn of_slowest(&self, slowest: u64, quantile: f64) -> f64 {
        // So many times are longer than the one that is looked for.
        let longer = ((1.0 - quantile) * slowest as f64) as u64;
        let mut seen = 0;
        for (at, count) in self.0.iter().enumerate().rev() {
            seen += count;
            if slowest > 0 && seen > longer {
                return middle(at);
            }
        }
        f64::NAN
    }

    /// The `quantile` (0 to 1) of all times, in nanoseconds; NaN of none.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.of_slowest(self.count(), quantile)
    }
}

fn bucket(ns: u64) -> usize {
    match ns.checked_ilog2() {
        Some(power) if power >= PART_BITS => {
            let part = (ns >> (power - PART_BITS)) as usize % PARTS;
            (power - PART_BITS + 1) as usize * PARTS + part
        }
        _ => ns as usize,
    }
}

fn middle(bucket: usize) -> f64 {
    if bucket < PARTS {
        return bucket as f64;
    }
    let width = f64::from(bucket as u32 / PARTS as u32 - 1).exp2();
    ((bucket % PARTS + PARTS) as f64 + 0.5) * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_near_its_times() {
        for ns in (0..2000).chain([12_345, 1 << 20, 999_999_999, 1 << 50]) {
            let near = middle(bucket(ns));
            assert!(
                (near - ns as f64).abs() <= ns as f64 / 32.0 + 0.5,
                "{ns}: {near}"
            );
        }
    }

    #[test]
    fn quantiles_of_all_and_of_the_slowest() {
        let mut times = Histogram::new();
        (1..=1000).for_each(|ns| times.add(ns * 1000));
        let is = |value: f64, wanted: f64| assert!((value / wanted - 1.0).abs() < 0.04, "{value}");
        is(times.quantile(0.5), 500_000.0);
        is(times.quantile(0.99), 990_000.0);
        is(times.of_slowest(100, 0.5), 950_000.0);
        assert!(times.of_slowest(0, 0.5).is_nan());
        let mut other = Histogram::new();
        other.merge(&times.sparse());
        assert_eq!(other.count(), 1000);
        is(other.quantile(0.5), 500_000.0);
    }
}
