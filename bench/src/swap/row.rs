//! The results of one kind of swap: medians of its rounds, and ratios to the peers'.

use serde::Serialize;

use super::backend::Backend;
use super::run::{Contender, Run};
use crate::load::memory::Phase;
use crate::rounds::Runs;

/// A value divided by each peer's in the same round, by the peers' names.
pub(crate) type To<T = f64> = Vec<(String, T)>;

/// A row: one area under so many processes, medians of the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) area: String,
    pub(crate) ours: bool,
    /// Processes that share the limit and the pages.
    pub(crate) processes: usize,
    /// Bytes that they may hold in memory.
    pub(crate) limit: u64,
    pub(crate) rounds: usize,
    /// Wall time of each phase in seconds.
    pub(crate) phases: Vec<(Phase, f64)>,
    pub(crate) total_s: f64,
    /// The same, to each peer's.
    pub(crate) total_to: To,
    /// Pages touched in a second, by all processes together, to each peer's.
    pub(crate) throughput_to: To,
    /// Processor time in seconds: of the processes, of the daemon, of kernel threads.
    pub(crate) cpu_s: [f64; 3],
    /// The sum of these, to each peer's.
    pub(crate) cpu_to: To,
    /// The sum for each GiB swapped, in and out together.
    pub(crate) cpu_s_per_gib: f64,
    /// The same, to each peer's.
    pub(crate) cpu_s_per_gib_to: To,
    /// Processor time of everything else on the machine meanwhile, in seconds: how far to trust
    /// the row.
    pub(crate) others_cpu_s: f64,
    /// GiB swapped, in and out together.
    pub(crate) swapped_gib: f64,
    /// Faults of the phases `uniform` and `skewed` that had to read from the area.
    pub(crate) faults: f64,
    /// Their times in microseconds: p50, p99, p99.9.
    pub(crate) fault_us: [f64; 3],
    /// The same, to each peer's.
    pub(crate) fault_to: To<[f64; 3]>,
    /// Bytes of pages that the area holds after `skewed`.
    pub(crate) held_bytes: f64,
    /// Bytes for these compressed pages.
    pub(crate) pool_bytes: f64,
    /// The same, to each peer's.
    pub(crate) pool_to: To,
    /// `pool_bytes` for each byte held, to each peer's: memory for the same pages.
    pub(crate) pool_per_byte_to: To,
    /// Bytes of all memory of the area and the processes, then.
    pub(crate) all_bytes: f64,
    /// The same, to each peer's.
    pub(crate) all_to: To,
}

impl Row {
    /// The row of a contender's runs; `peers` are the names and runs of those it is compared with.
    pub(crate) fn new(
        contender: &Contender,
        processes: usize,
        runs: &Runs<Run>,
        peers: &[(String, &Runs<Run>)],
    ) -> Row {
        let of = |value: &dyn Fn(&Run) -> f64| runs.median(value);
        let to = |value: &dyn Fn(&Run) -> f64| -> To {
            let ratio = |peer: &Runs<Run>| runs.ratio(peer, value);
            let of_peer = |(name, peer): &(String, &Runs<Run>)| (name.clone(), ratio(peer));
            peers.iter().map(of_peer).collect()
        };
        let quantiles = [0.5, 0.99, 0.999];
        let fault_to = |(name, peer): &(String, &Runs<Run>)| {
            let ratios = quantiles.map(|q| runs.ratio(peer, |run| run.fault_us(q)));
            (name.clone(), ratios)
        };
        Row {
            area: contender.to_string(),
            ours: matches!(contender.backend, Backend::Ours(_)),
            processes,
            limit: contender.limit,
            rounds: runs.len(),
            phases: Phase::ALL
                .map(|phase| (phase, of(&|run| run.wall(phase))))
                .to_vec(),
            total_s: of(&Run::total_wall),
            total_to: to(&Run::total_wall),
            throughput_to: to(&|run| run.total_wall().recip()),
            cpu_s: [0, 1, 2].map(|part| of(&|run| run.cpu_s[part])),
            cpu_to: to(&Run::total_cpu),
            cpu_s_per_gib: of(&Run::cpu_s_per_gib),
            cpu_s_per_gib_to: to(&Run::cpu_s_per_gib),
            others_cpu_s: of(&|run| run.others_cpu_s),
            swapped_gib: of(&Run::swapped_gib),
            faults: of(&|run| run.faults as f64),
            fault_us: quantiles.map(|q| of(&|run| run.fault_us(q))),
            fault_to: peers.iter().map(fault_to).collect(),
            held_bytes: of(&|run| run.memory.original as f64),
            pool_bytes: of(&|run| run.memory.pool as f64),
            pool_to: to(&|run| run.memory.pool as f64),
            pool_per_byte_to: to(&Run::pool_per_byte),
            all_bytes: of(&|run| run.all_bytes as f64),
            all_to: to(&|run| run.all_bytes as f64),
        }
    }
}

/// The entry of a peer; NaN if it was not measured.
pub(crate) fn entry(list: &To, peer: &str) -> f64 {
    of_peer(list, peer).unwrap_or(f64::NAN)
}

/// The same for the three quantiles of the faults.
pub(crate) fn fault_entry(row: &Row, peer: &str) -> [f64; 3] {
    of_peer(&row.fault_to, peer).unwrap_or([f64::NAN; 3])
}

fn of_peer<T: Copy>(list: &To<T>, peer: &str) -> Option<T> {
    let found = list.iter().find(|(name, _)| name == peer)?;
    Some(found.1)
}
