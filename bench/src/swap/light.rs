//! Light pressure: all pages fit, and the device is on but has nothing to do.

use anyhow::Result;
use serde::Serialize;

use super::backend::Backend;
use super::comparison;
use super::run::{Contender, Run, Workload};
use crate::load::memory::Phase;
use crate::rounds::Runs;
use crate::stat::{median, quantile};

/// How often the pages are gone through in one run.
const PASSES: usize = 32;

/// One area that is on, beside no swap.
#[derive(Debug, Serialize)]
pub(crate) struct Light {
    pub(crate) area: String,
    pub(crate) rounds: usize,
    /// Wall time of a run in seconds.
    pub(crate) total_s: f64,
    /// The same divided by that without swap in the same round: the median, and the quartiles
    /// of all rounds, which show how far to trust it.
    pub(crate) slowdown: f64,
    pub(crate) quartiles: [f64; 2],
    /// Processor time of the processes, divided by that without swap in the same round.
    pub(crate) cpu: f64,
    /// Processor time of the daemon in seconds, in a run.
    pub(crate) daemon_cpu_s: f64,
    /// Pages swapped in a run, in and out.
    pub(crate) pages_swapped: f64,
}

/// Measures kinds of swap beside none, under a load that fits under the limit.
pub(crate) fn measure(
    backends: &[Backend],
    load: &Workload<'_>,
    limit: u64,
    rounds: usize,
    quick: bool,
) -> Result<Vec<Light>> {
    // Not by `Contender::new`: without swap the limit is the same.
    let contender = |backend: &Backend| Contender {
        backend: backend.clone(),
        limit,
    };
    let all = [&Backend::Ram].into_iter().chain(backends);
    let mut contenders: Vec<Contender> = all.map(contender).collect();
    let passes = if quick { 1 } else { PASSES };
    let pass = [Phase::Sweep, Phase::Uniform, Phase::Skewed];
    let phases = [&[Phase::Fill][..], &pass.repeat(passes), &[Phase::Verify]].concat();
    let runs = comparison::compare("light", &mut contenders, load, &phases, rounds)?;
    let measured = contenders.iter().zip(&runs).skip(1);
    Ok(measured
        .filter(|(_, own)| !own.is_empty())
        .map(|(contender, own)| Light::new(contender.to_string(), own, &runs[0]))
        .collect())
}

impl Light {
    fn new(area: String, runs: &Runs<Run>, without: &Runs<Run>) -> Light {
        let mut ratios = runs.ratios(without, Run::total_wall);
        ratios.retain(|ratio| !ratio.is_nan());
        Light {
            area,
            rounds: runs.len(),
            total_s: runs.median(Run::total_wall),
            slowdown: median(ratios.clone()),
            quartiles: [0.25, 0.75].map(|q| quantile(&ratios, q)),
            cpu: runs.ratio(without, |run| run.cpu_s[0]),
            daemon_cpu_s: runs.median(|run| run.cpu_s[1]),
            pages_swapped: runs.median(|run| run.pages_swapped as f64),
        }
    }
}
