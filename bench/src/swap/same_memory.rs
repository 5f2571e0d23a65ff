//! Peer and ours with as much memory in all: ours gets the limit under which that is so.

use anyhow::Result;
use serde::Serialize;

use super::backend::Backend;
use super::comparison;
use super::row::Row;
use super::run::{Contender, Run, Workload};
use super::search::{Search, Trial};
use crate::interrupt;
use crate::load::memory::Phase;

/// How many limits are tried at most, for each kind.
const TRIALS: usize = 3;

/// What is done in a trial: all that comes before the memory is measured.
const TRIAL: [Phase; 4] = [Phase::Fill, Phase::Sweep, Phase::Uniform, Phase::Skewed];

/// The peer and ours with the same memory in all.
#[derive(Debug, Serialize)]
pub(crate) struct SameMemory {
    pub(crate) peer: String,
    /// Bytes that the peer took in all under the common limit, which ours were to take too.
    pub(crate) target: u64,
    /// The limits that were tried with each of ours, the common one first.
    pub(crate) trials: Vec<(String, Vec<Trial>)>,
    /// The peer under the common limit, and ours under those that were found.
    pub(crate) rows: Vec<Row>,
}

impl SameMemory {
    /// Finds a limit for each of `ours`, and compares them with the peer. `known` are
    /// the bytes in all that each of them took under the `limit`, and that the `peer` took.
    pub(crate) fn measure(
        peer: (&Backend, u64),
        ours: &[(Backend, u64)],
        load: &Workload<'_>,
        limit: u64,
        rounds: usize,
    ) -> Result<SameMemory> {
        let (peer, target) = peer;
        let mut contenders = vec![Contender::new(peer.clone(), load, limit)];
        let mut trials = Vec::new();
        // With less programs hardly run; with more than there are pages nothing is swapped.
        let bounds = (limit / 3, load.bytes() / 16 * 15);
        for (backend, total) in ours {
            let known = Trial {
                limit,
                total: *total,
            };
            let contender = |limit| Contender {
                backend: backend.clone(),
                limit,
            };
            let mut search = Search::new(target, bounds, known);
            for trial in 0..TRIALS {
                let Some(limit) = search.next() else { break };
                let mib = limit >> 20;
                eprintln!("same memory, trial {}: {backend} in {mib} MiB", trial + 1);
                match Run::new(&contender(limit), load, &TRIAL, trial) {
                    Ok(run) => search.add(Trial {
                        limit,
                        total: run.all_bytes,
                    }),
                    Err(error) => {
                        interrupt::check()?;
                        eprintln!("{backend} in {mib} MiB: {error:#}");
                        search.fail(limit);
                    }
                }
            }
            contenders.push(contender(search.best().limit));
            trials.push((backend.to_string(), search.trials));
        }
        let runs = comparison::compare("same memory", &mut contenders, load, &Phase::ALL, rounds)?;
        Ok(SameMemory {
            peer: peer.to_string(),
            target,
            trials,
            rows: comparison::rows(&contenders, &runs, load.processes),
        })
    }
}
