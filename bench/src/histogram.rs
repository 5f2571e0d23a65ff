//! Times, in a histogram of HdrHistogram's.

use serde::{Deserialize, Serialize};

/// Longer times are counted as this one, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// A histogram of times in nanoseconds, each to within a hundredth. To another process it goes as
/// the times that were counted, and how often each was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Histogram(hdrhistogram::Histogram<u64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_max(LONGEST, 2);
        Histogram(histogram.expect("the bounds are valid"))
    }

    pub(crate) fn add(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The `quantile` (0 to 1) of the `slowest` longest times, in nanoseconds; NaN of none.
    pub(crate) fn of_slowest(&self, slowest: u64, quantile: f64) -> f64 {
        if slowest == 0 {
            return f64::NAN;
        }
        // So many times are longer than the one that is looked for.
        let longer = ((1.0 - quantile) * slowest as f64) as u64;
        let mut rank = self.count().saturating_sub(longer);
        for bucket in self.0.iter_recorded() {
            rank = rank.saturating_sub(bucket.count_at_value());
            if rank == 0 {
                return self.0.median_equivalent(bucket.value_iterated_to()) as f64;
            }
        }
        f64::NAN
    }

    /// The `quantile` (0 to 1) of all times, in nanoseconds; NaN of none.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.of_slowest(self.count(), quantile)
    }
}

impl From<Histogram> for Vec<(u64, u64)> {
    fn from(histogram: Histogram) -> Self {
        let counted = histogram.0.iter_recorded();
        counted
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }
}

impl From<Vec<(u64, u64)>> for Histogram {
    fn from(counted: Vec<(u64, u64)>) -> Self {
        let mut histogram = Histogram::new();
        for (ns, count) in counted {
            histogram.0.saturating_record_n(ns, count);
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_time_is_near_the_time() {
        for ns in (0..2000).chain([12_345, 1 << 20, 999_999_999, 1 << 41]) {
            let mut times = Histogram::new();
            times.add(ns);
            let near = times.quantile(0.5);
            assert!(
                (near - ns as f64).abs() <= ns as f64 / 100.0,
                "{ns}: {near}"
            );
        }
        let mut times = Histogram::new();
        times.add(1 << 50);
        assert!((times.quantile(0.5) / LONGEST as f64 - 1.0).abs() < 0.01);
    }

    #[test]
    fn quantiles_of_all_and_of_the_slowest() {
        let mut times = Histogram::new();
        (1..=1000).for_each(|ns| times.add(ns * 1000));
        let is = |value: f64, wanted: f64| assert!((value / wanted - 1.0).abs() < 0.01, "{value}");
        is(times.quantile(0.5), 500_000.0);
        is(times.quantile(0.99), 990_000.0);
        is(times.of_slowest(100, 0.5), 950_000.0);
        assert!(times.of_slowest(0, 0.5).is_nan());
        assert!(Histogram::new().of_slowest(5, 0.5).is_nan());
        let sent = serde_json::to_string(&times).unwrap();
        let mut other: Histogram = serde_json::from_str(&sent).unwrap();
        assert_eq!(other.count(), 1000);
        is(other.quantile(0.5), 500_000.0);
        other.merge(&times);
        assert_eq!(other.count(), 2000);
    }
}
