//! The rows of `swap`, and how they are printed.

use std::io::{self, Write};

use serde::Serialize;

use super::run::Run;
use super::toucher::Phase;
use crate::report::Report;
use crate::stat::median;

/// A row: one area under so many processes, medians of the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What takes the pages.
    pub(crate) area: String,
    /// Processes that share the limit and the pages.
    pub(crate) processes: usize,
    /// Rounds that were measured.
    pub(crate) rounds: usize,
    /// Wall time of each phase in seconds.
    pub(crate) phases: Vec<(Phase, f64)>,
    /// Wall time of all phases.
    pub(crate) total_s: f64,
    /// The same divided by that of each peer in the same round.
    pub(crate) total_to: Vec<(String, f64)>,
    /// Processor time in seconds: of the processes, of the daemon, of kernel threads.
    pub(crate) cpu_s: [f64; 3],
    /// The sum of these, divided by that of each peer in the same round.
    pub(crate) cpu_to: Vec<(String, f64)>,
    /// The sum for each GiB swapped, in and out together.
    pub(crate) cpu_s_per_gib: f64,
    /// Processor time of everything else on the machine meanwhile, in seconds: how far to trust
    /// the row.
    pub(crate) others_cpu_s: f64,
    /// GiB swapped, in and out together.
    pub(crate) swapped_gib: f64,
    /// Faults of the phases `uniform` and `skewed` that had to read from the area.
    pub(crate) faults: f64,
    /// Their times in microseconds: p50, p99, p99.9.
    pub(crate) fault_us: [f64; 3],
    /// The same divided by those of each peer in the same round.
    pub(crate) fault_to: Vec<(String, [f64; 3])>,
    /// Bytes for the compressed pages, after `skewed`.
    pub(crate) pool_bytes: f64,
    /// Bytes of all memory of the area and the processes, then.
    pub(crate) all_bytes: f64,
}

impl Row {
    /// The row of an area's runs; `peers` are the names and runs of those it is compared with,
    /// each as many as its own.
    pub(crate) fn new(
        area: &str,
        processes: usize,
        runs: &[Run],
        peers: &[(String, &[Run])],
    ) -> Row {
        let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
        let to = |value: &dyn Fn(&Run) -> f64, peer: &[Run]| {
            let pairs = runs.iter().filter_map(|run| {
                let peer = peer.iter().find(|peer| peer.round == run.round)?;
                Some(value(run) / value(peer))
            });
            median(pairs.collect())
        };
        let to_all = |value: &dyn Fn(&Run) -> f64| -> Vec<(String, f64)> {
            peers
                .iter()
                .map(|(name, peer)| (name.clone(), to(value, peer)))
                .collect()
        };
        let quantiles = [0.5, 0.99, 0.999];
        Row {
            area: area.to_owned(),
            processes,
            rounds: runs.len(),
            phases: Phase::ALL
                .into_iter()
                .map(|phase| (phase, of(&|run| run.wall(phase))))
                .collect(),
            total_s: of(&Run::total_wall),
            total_to: to_all(&Run::total_wall),
            cpu_s: [0, 1, 2].map(|part| of(&|run| run.cpu_s[part])),
            cpu_to: to_all(&Run::total_cpu),
            cpu_s_per_gib: of(&|run| run.total_cpu() / run.swapped_gib()),
            others_cpu_s: of(&|run| run.others_cpu_s),
            swapped_gib: of(&Run::swapped_gib),
            faults: of(&|run| run.faults as f64),
            fault_us: quantiles.map(|q| of(&|run| run.fault_us(q))),
            fault_to: peers
                .iter()
                .map(|(name, peer)| {
                    let ratios = quantiles.map(|q| to(&|run| run.fault_us(q), peer));
                    (name.clone(), ratios)
                })
                .collect(),
            pool_bytes: of(&|run| run.pool_bytes as f64),
            all_bytes: of(&|run| run.all_bytes as f64),
        }
    }

    /// The entry of the peer that the table compares with.
    fn to<T: Copy>(list: &[(String, T)], reference: &str) -> Option<T> {
        list.iter()
            .find(|(name, _)| name == reference)
            .map(|&(_, ratio)| ratio)
    }
}

/// The rows, and what they are compared with.
#[derive(Debug, Serialize)]
pub(crate) struct SwapReport {
    /// Bytes that all processes together have.
    pub(crate) bytes: u64,
    /// Bytes that they may hold in memory.
    pub(crate) limit: u64,
    /// The peer whose times the table divides by.
    pub(crate) reference: String,
    /// The rows.
    pub(crate) rows: Vec<Row>,
}

/// A number with so many digits that three of them mean something; nothing for NaN.
fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".into(),
        v if v.abs() < 9.995 => format!("{v:.2}"),
        v if v.abs() < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

impl Report for SwapReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} MiB of pages, {} MiB of memory; x: divided by {} in the same round",
            self.bytes >> 20,
            self.limit >> 20,
            self.reference,
        )?;
        let mut processes: Vec<usize> = self.rows.iter().map(|row| row.processes).collect();
        processes.dedup();
        for processes in processes {
            let rows: Vec<&Row> = self
                .rows
                .iter()
                .filter(|row| row.processes == processes)
                .collect();
            self.print_times(out, processes, &rows)?;
            self.print_costs(out, &rows)?;
        }
        writeln!(
            out,
            "\n(medians of the rounds; faults: those of uniform and skewed that read from the area,\n \
             us; CPU s: processes + daemon + kernel threads; others: everything else that ran\n \
             meanwhile; MiB: pool of compressed pages, and all memory with the processes' own)"
        )
    }
}

impl SwapReport {
    fn print_times(&self, out: &mut dyn Write, processes: usize, rows: &[&Row]) -> io::Result<()> {
        let title = match processes {
            1 => "1 process".to_owned(),
            n => format!("{n} processes"),
        };
        write!(out, "\n{title:<16} {:>7} {:>6}", "total s", "x")?;
        for phase in Phase::ALL {
            write!(out, " {:>7}", phase.name())?;
        }
        writeln!(
            out,
            " {:>8} {:>7} {:>7} {:>7} {:>6}",
            "faults", "p50 us", "p99", "p99.9", "p50 x"
        )?;
        for row in rows {
            let ratio = Row::to(&row.total_to, &self.reference);
            write!(
                out,
                "{:<16} {:>7} {:>6}",
                row.area,
                short(row.total_s),
                ratio.map_or_else(|| "-".into(), short)
            )?;
            for (_, seconds) in &row.phases {
                write!(out, " {:>7}", short(*seconds))?;
            }
            let [p50, p99, p999] = row.fault_us.map(short);
            let ratio =
                Row::to(&row.fault_to, &self.reference).map_or_else(|| "-".into(), |r| short(r[0]));
            writeln!(
                out,
                " {:>8.0} {p50:>7} {p99:>7} {p999:>7} {ratio:>6}",
                row.faults
            )?;
        }
        Ok(())
    }

    fn print_costs(&self, out: &mut dyn Write, rows: &[&Row]) -> io::Result<()> {
        writeln!(
            out,
            "\n{:<16} {:>7} {:>6} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8}",
            "",
            "CPU s",
            "x",
            "process",
            "daemon",
            "kernel",
            "others",
            "s/GiB",
            "pool MiB",
            "all MiB"
        )?;
        for row in rows {
            let ratio = Row::to(&row.cpu_to, &self.reference);
            let [process, daemon, kernel] = row.cpu_s.map(short);
            writeln!(
                out,
                "{:<16} {:>7} {:>6} {process:>8} {daemon:>7} {kernel:>7} {:>7} {:>7} {:>8.1} {:>8.1}",
                row.area,
                short(row.cpu_s.iter().sum()),
                ratio.map_or_else(|| "-".into(), short),
                short(row.others_cpu_s),
                if row.swapped_gib > 0.0 {
                    short(row.cpu_s_per_gib)
                } else {
                    "-".into()
                },
                row.pool_bytes / f64::from(1 << 20),
                row.all_bytes / f64::from(1 << 20),
            )?;
        }
        Ok(())
    }
}
