//! Kinds of swap that take turns under the same load.

use anyhow::{Result, ensure};

use super::area::Kind;
use super::row::Row;
use super::run::{Load, Run};
use super::toucher::Phase;
use crate::interrupt;

/// Who takes part.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// What takes the pages that do not fit.
    pub(crate) kind: Kind,
    /// Bytes that the processes may hold in memory.
    pub(crate) limit: u64,
}

impl Contestant {
    /// One under a limit that all kinds have; only where the pages are to fit they must.
    pub(crate) fn new(kind: Kind, load: &Load<'_>, limit: u64) -> Self {
        let limit = match kind {
            Kind::Ram => load.bytes() * 4 + (256 << 20),
            _ => limit,
        };
        Contestant { kind, limit }
    }
}

/// Gives each its turn in each round: forwards in the even rounds, backwards in the odd ones, so
/// that none is always the next after the same one. What fails is named on standard error and
/// left out. Gives the runs of each.
///
/// # Errors
/// Where nothing could be measured, or after Ctrl-C.
pub(crate) fn take_turns(
    title: &str,
    contestants: &[Contestant],
    load: &Load<'_>,
    phases: &[Phase],
    rounds: usize,
) -> Result<Vec<Vec<Run>>> {
    let mut runs: Vec<Vec<Run>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let Contestant { kind, limit } = &contestants[at];
            let name = kind.name();
            let number = round + 1;
            eprintln!(
                "{title}, {}, round {number} of {rounds}: {name}",
                processes(load.processes)
            );
            match Run::new(kind, load, *limit, phases, round) {
                Ok(run) => runs[at].push(run),
                Err(error) => {
                    interrupt::check()?;
                    eprintln!("{name}, round {number}: left out, {error:#}");
                }
            }
        }
    }
    ensure!(
        runs.iter().any(|runs| !runs.is_empty()),
        "nothing could be measured"
    );
    Ok(runs)
}

/// A row for each contestant that has runs, compared with every peer.
pub(crate) fn rows(contestants: &[Contestant], runs: &[Vec<Run>], processes: usize) -> Vec<Row> {
    let peers: Vec<(String, &[Run])> = contestants
        .iter()
        .zip(runs)
        .filter(|(contestant, runs)| {
            !matches!(contestant.kind, Kind::Ours(_) | Kind::Ram) && !runs.is_empty()
        })
        .map(|(contestant, runs)| (contestant.kind.name(), &runs[..]))
        .collect();
    contestants
        .iter()
        .zip(runs)
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(contestant, runs)| {
            Row::new(&contestant.kind, processes, contestant.limit, runs, &peers)
        })
        .collect()
}

/// "1 process", "2 processes".
pub(crate) fn processes(number: usize) -> String {
    match number {
        1 => "1 process".into(),
        n => format!("{n} processes"),
    }
}
