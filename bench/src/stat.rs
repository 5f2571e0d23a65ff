//! Statistics over rounds.

/// The middle value, or the mean of the two middle ones; NaN of nothing.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(&values, 0.5)
}

/// The mean; NaN of nothing.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
    sum / count
}

/// The geometric mean, of numbers above 0; NaN of nothing.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> f64 {
    mean(values.into_iter().map(f64::ln)).exp()
}

/// The value below which `quantile` (0 to 1) of them lie, between the two nearest in proportion;
/// NaN of nothing.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = quantile * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
        assert_eq!(mean([1.0, 2.0, 6.0]), 3.0);
        assert!((geometric_mean([1.0, 4.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!(geometric_mean([]).is_nan());
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.25), 2.0);
        assert_eq!(quantile(&values, 1.0), 5.0);
        assert_eq!(quantile(&values[..2], 0.25), 1.75);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
