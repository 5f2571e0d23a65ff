//! What is said of one place under one workload: medians of its rounds, and ratios to the bare
//! directory's.

use serde::Serialize;

use super::contest::{Run, ratio};
use super::place::Kind;
use super::throttle::Throttle;
use super::work::{Job, Part, Sample};
use crate::stat::median;

/// A row.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: String,
    /// The speed of the disk.
    pub(crate) throttle: Throttle,
    /// Where the files are.
    pub(crate) place: String,
    /// Whether that is ours.
    pub(crate) ours: bool,
    /// Bytes of memory for all who take part; `None` for no limit.
    pub(crate) limit: Option<u64>,
    /// Rounds that were measured.
    pub(crate) rounds: usize,
    /// Seconds of the first pass, from a cold start.
    pub(crate) first_s: f64,
    /// Seconds of all that comes after it.
    pub(crate) steady_s: f64,
    /// Seconds of both.
    pub(crate) total_s: f64,
    /// The first pass divided by the bare directory's in the same round.
    pub(crate) first_to: f64,
    /// The same of what comes after it.
    pub(crate) steady_to: f64,
    /// The same of both.
    pub(crate) total_to: f64,
    /// What one of these should be at most, and which.
    pub(crate) target: Option<(Part, f64)>,
    /// What else is worth knowing.
    pub(crate) values: Vec<(String, f64)>,
    /// Memory over time, in the last round.
    pub(crate) series: Vec<Sample>,
}

impl Row {
    /// The row of a place's runs, compared with the bare directory's.
    pub(crate) fn new(
        job: &Job,
        throttle: Throttle,
        kind: &Kind,
        runs: &[Run],
        bare: &[Run],
    ) -> Row {
        let of = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
        let ours = matches!(kind, Kind::Ours(_));
        let target = job.target.filter(|_| ours).map(|target| {
            let ratio = match throttle {
                Throttle::None => target.unthrottled,
                Throttle::At { .. } => target.throttled,
            };
            (target.part, ratio)
        });
        Row {
            workload: job.name.clone(),
            throttle,
            place: kind.to_string(),
            ours,
            limit: job.limit,
            rounds: runs.len(),
            first_s: of(Run::first_s),
            steady_s: of(Run::steady_s),
            total_s: of(Run::total_s),
            first_to: ratio(runs, bare, Run::first_s),
            steady_to: ratio(runs, bare, Run::steady_s),
            total_to: ratio(runs, bare, Run::total_s),
            target,
            values: values(runs),
            series: runs
                .last()
                .map_or_else(Vec::new, |run| run.measured.series.clone()),
        }
    }

    /// The time that a target is set for, divided by the bare directory's.
    pub(crate) fn compared(&self) -> f64 {
        match self.target {
            Some((Part::Steady, _)) => self.steady_to,
            _ => self.total_to,
        }
    }
}

/// The medians of the values that the runs have.
fn values(runs: &[Run]) -> Vec<(String, f64)> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let of = |name: &String| {
        let all = runs.iter().flat_map(|run| &run.measured.values);
        median(
            all.filter(|(of, _)| of == name)
                .map(|&(_, value)| value)
                .collect(),
        )
    };
    let names = first.measured.values.iter().map(|(name, _)| name);
    names.map(|name| (name.clone(), of(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::work::Measured;

    #[test]
    fn values_are_medians_of_the_rounds() {
        let run = |round, value| Run {
            round,
            measured: Measured {
                values: vec![("p50".into(), value)],
                ..Measured::default()
            },
        };
        let runs = [run(0, 1.0), run(1, 9.0), run(2, 2.0)];
        assert_eq!(values(&runs), [("p50".to_owned(), 2.0)]);
        assert_eq!(values(&[]), []);
    }
}
