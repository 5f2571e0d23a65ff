//! Light pressure: all pages fit, and the device is on but has nothing to do.

use anyhow::Result;
use serde::Serialize;

use super::area::Kind;
use super::contest::{self, Contestant};
use super::row::ratio;
use super::run::{Load, Run};
use super::toucher::Phase;
use crate::stat::{median, quantile};

/// How often the pages are gone through in one turn.
const PASSES: usize = 32;

/// One area that is on, beside no swap.
#[derive(Debug, Serialize)]
pub(crate) struct Light {
    /// What is on.
    pub(crate) area: String,
    /// Rounds that were measured.
    pub(crate) rounds: usize,
    /// Wall time of a turn in seconds.
    pub(crate) total_s: f64,
    /// The same divided by that without swap in the same round: the median, and the quartiles
    /// of all rounds, which tell how far to trust it.
    pub(crate) slowdown: f64,
    /// The first and the third quartile.
    pub(crate) quartiles: [f64; 2],
    /// Processor time of the processes, divided by that without swap in the same round.
    pub(crate) cpu: f64,
    /// Processor time of the daemon in seconds, in a turn.
    pub(crate) daemon_cpu_s: f64,
    /// Pages swapped in a turn, in and out.
    pub(crate) pages_swapped: f64,
}

/// Measures kinds of swap beside none, under a load that fits under the limit.
///
/// # Errors
/// Where nothing could be measured, or after Ctrl-C.
pub(crate) fn measure(
    kinds: &[Kind],
    load: &Load<'_>,
    limit: u64,
    rounds: usize,
    quick: bool,
) -> Result<Vec<Light>> {
    // Not by `Contestant::new`: without swap the limit is the same.
    let contestants: Vec<Contestant> = [&Kind::Ram]
        .into_iter()
        .chain(kinds)
        .map(|kind| Contestant {
            kind: kind.clone(),
            limit,
        })
        .collect();
    let passes = if quick { 1 } else { PASSES };
    let pass = [Phase::Sweep, Phase::Uniform, Phase::Skewed];
    let phases = [&[Phase::Fill][..], &pass.repeat(passes), &[Phase::Verify]].concat();
    let runs = contest::take_turns("light", &contestants, load, &phases, rounds)?;
    let without = &runs[0];
    Ok(kinds
        .iter()
        .zip(&runs[1..])
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(kind, runs)| light(kind, runs, without))
        .collect())
}

fn light(kind: &Kind, runs: &[Run], without: &[Run]) -> Light {
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
    let ratios: Vec<f64> = runs
        .iter()
        .map(|run| ratio(std::slice::from_ref(run), without, &Run::total_wall))
        .filter(|ratio| !ratio.is_nan())
        .collect();
    Light {
        area: kind.name(),
        rounds: runs.len(),
        total_s: of(&Run::total_wall),
        slowdown: median(ratios.clone()),
        quartiles: [0.25, 0.75].map(|q| quantile(&ratios, q)),
        cpu: ratio(runs, without, &|run| run.cpu_s[0]),
        daemon_cpu_s: of(&|run| run.cpu_s[1]),
        pages_swapped: of(&|run| run.pages_swapped() as f64),
    }
}
