//! `pool`: how much memory our pool takes for its chunks, beside zram's.

mod backend;
mod report;
mod trace;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use compcache_engine::CodecSpec;
use serde::Serialize;

use crate::capture::Source;
use crate::report::{Common, PlotArgs, positive};
use crate::rounds::{self, Failure, Runs};
use crate::{interrupt, ours, programs, zram};
use backend::{Backend, Contender};
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

struct Run {
    /// One for each of [`MOMENTS`]; the last is there only if compaction must be asked for.
    moments: Vec<Measured>,
    /// After every so many stores: the overhead.
    over_time: Vec<(f64, f64)>,
    seconds: f64,
}

/// A row of the table: one pool, medians of the rounds.
#[derive(Debug, Serialize)]
struct Row {
    pool: String,
    ours: bool,
    moments: Vec<(&'static str, Measured)>,
    /// Stores for each page of the pool so far, and the overhead then; of the first round.
    over_time: Vec<(f64, f64)>,
    /// The memory at each moment divided by that of the first zram in the same round.
    memory_to_zram: Vec<(&'static str, f64)>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PoolReport {
    rows: Vec<Row>,
}

pub(crate) fn run(args: &PoolArgs) -> Result<PoolReport> {
    let full = (args.pages, args.rounds, CAPTURE);
    let (pages, rounds, capture) = args.common.choose((2048, 1, 256), full);
    let sources = programs::some_sources(capture, args.common.quick)?;
    let mut contenders = contenders();
    let run = |contender: &mut Contender, round| {
        let mut backend = contender.make(pages as u64)?;
        measure(&sources, backend.as_mut(), pages, round as u64)
    };
    let runs = rounds::alternate(None, &mut contenders, rounds, Failure::Ends, run)?.runs;
    let is_zram = |contender: &Contender| matches!(contender, Contender::Zram(_));
    let reference = contenders.iter().position(is_zram);
    let rows = contenders.iter().zip(&runs);
    Ok(PoolReport {
        rows: rows
            .map(|(contender, own)| row(contender, own, reference.map(|at| &runs[at])))
            .collect(),
    })
}

/// zram with every algorithm if there is zram, and our store with every codec.
fn contenders() -> Vec<Contender> {
    let zram = zram::algorithms_for("pool").into_iter();
    let mut all: Vec<Contender> = zram.map(Contender::Zram).collect();
    all.extend(ours::codecs().map(Contender::Ours));
    all.push(Contender::Cold(CodecSpec::default()));
    all
}

/// Takes one pool through the trace.
fn measure(sources: &[Source], backend: &mut dyn Backend, pages: usize, seed: u64) -> Result<Run> {
    let start = Instant::now();
    let mut trace = Trace::new(sources, backend, pages, seed);
    let mut moments = Vec::new();
    let mut over_time = Vec::new();
    trace.fill()?;
    trace.backend.quiesce()?;
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
        trace.backend.quiesce()?;
        moments.push(look(&trace)?);
    }
    trace.verify()?;
    trace.free_half()?;
    moments.push(look(&trace)?);
    interrupt::pause(PATIENCE)?;
    moments.push(look(&trace)?);
    if trace.backend.compact()? {
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
    let held = trace.backend.held()?;
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

fn row(contender: &Contender, runs: &Runs<Run>, reference: Option<&Runs<Run>>) -> Row {
    let first = runs.iter().next();
    let moments = first.map_or(0, |run| run.moments.len());
    let of =
        |moment: usize, value: fn(&Measured) -> f64| runs.median(|run| value(&run.moments[moment]));
    let measured = |moment| Measured {
        overhead: of(moment, |m| m.overhead),
        memory: of(moment, |m| m.memory),
        compressed: of(moment, |m| m.compressed),
    };
    let to_zram = |moment: usize| {
        let ratio = runs.ratio(reference?, |run| run.moments[moment].memory);
        Some((MOMENTS[moment], ratio))
    };
    Row {
        pool: contender.to_string(),
        ours: !matches!(contender, Contender::Zram(_)),
        moments: (0..moments)
            .map(|moment| (MOMENTS[moment], measured(moment)))
            .collect(),
        over_time: first.map_or(vec![], |run| run.over_time.clone()),
        memory_to_zram: (0..moments).filter_map(to_zram).collect(),
        seconds: runs.median(|run| run.seconds),
    }
}
