//! The results of one place under one workload: medians of its rounds, and ratios to the bare
//! directory's.

use serde::Serialize;

use super::place::Backend;
use super::throttle::Throttle;
use super::work::job::{Job, Measured, Part, Sample};
use crate::rounds::Runs;
use crate::stat::median;

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) throttle: Throttle,
    pub(crate) place: String,
    pub(crate) ours: bool,
    /// Bytes of memory for all processes; `None` for no limit.
    pub(crate) limit: Option<u64>,
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
    pub(crate) values: Vec<(String, f64)>,
    pub(crate) series: Vec<Sample>,
}

impl Row {
    /// The row of a place's runs, compared with the bare directory's.
    pub(crate) fn new(
        job: &Job,
        throttle: Throttle,
        backend: &Backend,
        runs: &Runs<Measured>,
        bare: &Runs<Measured>,
    ) -> Row {
        let ours = matches!(backend, Backend::Ours(_));
        let target = job.target.filter(|_| ours).map(|target| {
            let ratio = match throttle {
                Throttle::None => target.unthrottled,
                Throttle::At { .. } => target.throttled,
            };
            (target.part, ratio)
        });
        let last = runs.iter().next_back();
        Row {
            workload: job.name.clone(),
            throttle,
            place: backend.to_string(),
            ours,
            limit: job.limit,
            rounds: runs.len(),
            first_s: runs.median(|run| run.first_s),
            steady_s: runs.median(|run| run.steady_s),
            total_s: runs.median(Measured::total_s),
            first_to: runs.ratio(bare, |run| run.first_s),
            steady_to: runs.ratio(bare, |run| run.steady_s),
            total_to: runs.ratio(bare, Measured::total_s),
            target,
            values: values(runs),
            series: last.map_or_else(Vec::new, |run| run.series.clone()),
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
fn values(runs: &Runs<Measured>) -> Vec<(String, f64)> {
    let of = |name: &String| {
        let all = runs.iter().flat_map(|run| &run.values);
        let same = all.filter(|(of, _)| of == name);
        median(same.map(|&(_, value)| value).collect())
    };
    let first = runs.iter().next().into_iter().flat_map(|run| &run.values);
    first.map(|(name, _)| (name.clone(), of(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_medians_of_the_rounds() {
        let run = |value| Measured {
            values: vec![("p50".into(), value)],
            ..Measured::default()
        };
        let runs: Runs<Measured> = [1.0, 9.0, 2.0].map(run).into_iter().collect();
        assert_eq!(values(&runs), [("p50".to_owned(), 2.0)]);
        assert_eq!(values(&Runs::default()), []);
    }
}
