//! Kinds of swap that are compared under the same load.

use anyhow::{Result, ensure};

use super::backend::Backend;
use super::row::Row;
use super::run::{Contender, Run, Workload};
use crate::load::memory::Phase;
use crate::rounds::{self, Failure, Runs};

/// Runs each in each round. What fails is named on standard error and left out.
pub(crate) fn compare(
    title: &str,
    contenders: &mut [Contender],
    load: &Workload<'_>,
    phases: &[Phase],
    rounds: usize,
) -> Result<Vec<Runs<Run>>> {
    let title = format!("{title}, {}", processes(load.processes));
    let run = |contender: &mut Contender, round| Run::new(contender, load, phases, round);
    let runs = rounds::alternate(Some(&title), contenders, rounds, Failure::Skips, run)?.runs;
    ensure!(
        runs.iter().any(|runs| !runs.is_empty()),
        "nothing could be measured"
    );
    Ok(runs)
}

/// A row for each contender that has runs, compared with every peer.
pub(crate) fn rows(contenders: &[Contender], runs: &[Runs<Run>], processes: usize) -> Vec<Row> {
    let measured = || contenders.iter().zip(runs).filter(|of| !of.1.is_empty());
    let is_peer = |of: &Contender| !matches!(of.backend, Backend::Ours(_) | Backend::Ram);
    let peers: Vec<(String, &Runs<Run>)> = measured()
        .filter(|(contender, _)| is_peer(contender))
        .map(|(contender, runs)| (contender.to_string(), runs))
        .collect();
    measured()
        .map(|(contender, runs)| Row::new(contender, processes, runs, &peers))
        .collect()
}

/// "1 process", "2 processes".
pub(crate) fn processes(number: usize) -> String {
    match number {
        1 => "1 process".into(),
        n => format!("{n} processes"),
    }
}
