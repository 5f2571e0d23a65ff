//! `pool`: how much memory our pool takes for its chunks, beside zram's.

mod holder;
mod plots;
mod trace;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use compcache_engine::CodecSpec;
use serde::Serialize;

use crate::capture::Source;
use crate::report::{Common, PlotArgs, Report, positive};
use crate::stat::median;
use crate::{interrupt, machine, ours, programs, zram};
use holder::{Holder, Kind};
use trace::Trace;

/// Measures the memory that our pool and zram's take for the same pages, through the same
/// stores and frees
#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
    /// Pages of each pool
    #[arg(long, value_name = "N", default_value_t = 65536, value_parser = positive)]
    pages: usize,
    /// Rounds, each with a trace of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
}

/// How often the pool's pages are overwritten, in each kind of churn.
const CHURNS: usize = 4;

/// Pages captured of each source.
const CAPTURE: usize = 8192;

/// How long a pool gets to give back what was freed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The moments at which a pool is measured.
const MOMENTS: [&str; 6] = [
    "fill",
    "churn",
    "lifetimes",
    "half freed",
    "1 s later",
    "compact",
];

/// A pool at one moment of the trace.
#[derive(Clone, Copy, Debug, Serialize)]
struct Measured {
    /// Bytes of the pool for each byte of chunks, minus one.
    overhead: f64,
    /// Bytes of all memory for each byte of pages.
    memory: f64,
    /// Bytes of chunks for each byte of pages.
    compressed: f64,
}

/// What one pool did in one round.
struct Run {
    /// One for each of [`MOMENTS`]; the last is there only where compaction must be asked for.
    moments: Vec<Measured>,
    /// After every so many stores: the overhead.
    over_time: Vec<(f64, f64)>,
    seconds: f64,
}

/// A row of the table: one pool, medians of the rounds.
#[derive(Debug, Serialize)]
struct Row {
    pool: String,
    /// Whether it is ours.
    ours: bool,
    moments: Vec<(&'static str, Measured)>,
    /// Stores for each page of the pool so far, and the overhead then; of the first round.
    over_time: Vec<(f64, f64)>,
    /// The memory at each moment divided by that of the first zram in the same round.
    memory_to_zram: Vec<(&'static str, f64)>,
    /// Time for all of it.
    seconds: f64,
}

/// The rows.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PoolReport {
    rows: Vec<Row>,
}

/// Runs the comparison.
///
/// # Errors
/// Where no page can be captured, or a pool does not give a page back.
pub(crate) fn run(args: &PoolArgs) -> Result<PoolReport> {
    let (pages, rounds, capture) = if args.common.quick {
        (2048, 1, 256)
    } else {
        (args.pages, args.rounds, CAPTURE)
    };
    let sources = programs::sources(capture, args.common.quick);
    ensure!(
        !sources.is_empty(),
        "no program to take pages from: install python3"
    );
    let kinds = kinds();
    let mut runs: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            interrupt::check()?;
            let run = kind
                .make(pages as u64)
                .and_then(|mut holder| measure(&sources, holder.as_mut(), pages, round as u64))
                .with_context(|| kind.name())?;
            runs.push(run);
        }
    }
    let reference = kinds.iter().position(|kind| matches!(kind, Kind::Zram(_)));
    let rows = kinds
        .iter()
        .zip(&runs)
        .map(|(kind, own)| row(kind, own, reference.map(|index| &runs[index][..])))
        .collect();
    Ok(PoolReport { rows })
}

/// zram with every algorithm where there is zram, and our store with every codec.
fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    match machine::need_root("pool").and_then(|()| zram::algorithms()) {
        Ok(algorithms) => kinds.extend(algorithms.into_iter().map(Kind::Zram)),
        Err(error) => eprintln!("zram: left out, {error:#}"),
    }
    kinds.extend(ours::codecs().map(Kind::Ours));
    kinds.push(Kind::Cold(CodecSpec::default()));
    kinds
}

/// Takes one pool through the trace.
fn measure(sources: &[Source], holder: &mut dyn Holder, pages: usize, seed: u64) -> Result<Run> {
    let start = Instant::now();
    let mut trace = Trace::new(sources, holder, pages, seed);
    let mut moments = Vec::new();
    let mut over_time = Vec::new();
    trace.fill()?;
    trace.settle()?;
    moments.push(look(&trace)?);
    over_time.push((1.0, moments[0].overhead));
    // A quarter of the pages between two looks.
    let step = pages.div_ceil(4);
    for kind in [Trace::churn, Trace::lifetimes] {
        for _ in 0..CHURNS * 4 {
            kind(&mut trace, step)?;
            let stores = over_time.len() as f64 / 4.0 + 1.0;
            over_time.push((stores, look(&trace)?.overhead));
        }
        trace.settle()?;
        moments.push(look(&trace)?);
    }
    trace.verify()?;
    trace.free_half()?;
    moments.push(look(&trace)?);
    interrupt::pause(PATIENCE)?;
    moments.push(look(&trace)?);
    if trace.holder().compact()? {
        moments.push(look(&trace)?);
    }
    trace.verify()?;
    Ok(Run {
        moments,
        over_time,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn look(trace: &Trace<'_>) -> Result<Measured> {
    let held = trace.holder().held()?;
    let (held_bytes, original) = (held.original, trace.original());
    ensure!(
        held_bytes == original,
        "it holds {held_bytes} bytes of pages, not {original}"
    );
    let original = original as f64;
    Ok(Measured {
        overhead: held.pool as f64 / held.compressed as f64 - 1.0,
        memory: held.all as f64 / original,
        compressed: held.compressed as f64 / original,
    })
}

fn row(kind: &Kind, runs: &[Run], reference: Option<&[Run]>) -> Row {
    let moments = runs.first().map_or(0, |run| run.moments.len());
    let of = |moment: usize, value: fn(&Measured) -> f64| {
        median(runs.iter().map(|run| value(&run.moments[moment])).collect())
    };
    let to_zram = |moment: usize| {
        let pairs = runs.iter().zip(reference?);
        let ratio =
            |(own, peer): (&Run, &Run)| own.moments[moment].memory / peer.moments[moment].memory;
        Some((MOMENTS[moment], median(pairs.map(ratio).collect())))
    };
    Row {
        pool: kind.name(),
        ours: !matches!(kind, Kind::Zram(_)),
        moments: (0..moments)
            .map(|moment| {
                let measured = Measured {
                    overhead: of(moment, |m| m.overhead),
                    memory: of(moment, |m| m.memory),
                    compressed: of(moment, |m| m.compressed),
                };
                (MOMENTS[moment], measured)
            })
            .collect(),
        over_time: runs.first().map_or(vec![], |run| run.over_time.clone()),
        memory_to_zram: (0..moments).filter_map(to_zram).collect(),
        seconds: median(runs.iter().map(|run| run.seconds).collect()),
    }
}

impl Report for PoolReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = |out: &mut dyn Write, title: &str| {
            write!(out, "{title:<22}")?;
            for moment in MOMENTS {
                write!(out, " {moment:>10}")?;
            }
            writeln!(out)
        };
        let columns = |row: &Row, cell: &dyn Fn(usize, &Measured) -> String| -> String {
            let cells = row.moments.iter().enumerate();
            cells
                .map(|(at, (_, m))| format!(" {:>10}", cell(at, m)))
                .collect()
        };
        header(out, "overhead of the pool")?;
        for row in &self.rows {
            let cells = columns(row, &|_, m| format!("{:.1} %", m.overhead * 100.0));
            writeln!(out, "{:<22}{cells}", row.pool)?;
        }
        writeln!(out)?;
        header(out, "all memory / pages")?;
        for row in &self.rows {
            let cells = columns(row, &|_, m| format!("{:.3}", m.memory));
            writeln!(out, "{:<22}{cells}", row.pool)?;
        }
        writeln!(out)?;
        if let Some(reference) = self
            .rows
            .first()
            .filter(|row| !row.memory_to_zram.is_empty())
        {
            header(out, &format!("memory to {}", reference.pool))?;
            for row in &self.rows {
                let cells = columns(row, &|at, _| {
                    let ratio = row.memory_to_zram.get(at);
                    ratio.map_or(String::new(), |(_, ratio)| format!("{ratio:.2} x"))
                });
                writeln!(out, "{:<22}{cells}", row.pool)?;
            }
            writeln!(out)?;
        }
        writeln!(
            out,
            "(overhead: pool bytes / chunk bytes - 1, without the reserve of empty frames; all\n \
             memory: with the reserve and the slot table; compact: asked of zram, ours does it\n \
             itself; cold: all pages recompressed with zstd:1 a second before the first three looks;\n \
             medians of the rounds)"
        )
    }
}
