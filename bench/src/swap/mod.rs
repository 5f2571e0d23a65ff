//! `swap`: programs that have twice the memory they may use, with each kind of swap.

mod area;
mod contest;
mod cpu;
mod light;
mod party;
mod plots;
mod row;
mod run;
mod same_memory;
mod search;
mod table;
mod toucher;
mod turn;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use compcache_device::transport::fuse_loop::Channel;
use compcache_engine::PAGE_SIZE;

use crate::report::{Common, PlotArgs, positive};
use crate::{machine, ours, programs, zram};
use area::Kind;
use contest::Contestant;
pub(crate) use cpu::threads_of;
use row::Row;
use run::Load;
use same_memory::SameMemory;
pub(crate) use table::SwapReport;
use toucher::Phase;
pub(crate) use toucher::{ToucherArgs, run as touch};
pub(crate) use turn::Turn;

/// Swaps the memory of processes that have twice what they may use, to zram, zswap, a file and
/// our device: under the same limit, with the same memory in all, and under light pressure
#[derive(Debug, Args)]
pub(crate) struct SwapArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
    /// Memory that the processes may use together, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = positive)]
    limit: usize,
    /// How many processes share that; several numbers are measured one after the other, codecs
    /// other than the default with the first only
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = positive)]
    processes: Vec<usize>,
    /// Rounds, in each of which every kind of swap has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Only kinds of swap whose name contains this, beside the references
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Every codec over each of these transports, fuse or fuse-uring [default: every codec over
    /// the daemon's own choice, the default codec over the others]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          value_parser = str::parse::<Channel>)]
    transport: Vec<Channel>,
    /// The kinds of swap that the tables compare with; the first is also the one whose memory
    /// ours are given
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "zram lzo-rle,zram lz4"
    )]
    reference: Vec<String>,
    /// Which of ours get as much memory in all as the first reference took
    #[arg(long, value_name = "WHICH", default_value = "default")]
    same_memory: Which,
    /// Which of ours are on, and idle, while all pages fit
    #[arg(long, value_name = "WHICH", default_value = "default")]
    light: Which,
    /// Where swap files are made
    #[arg(long, value_name = "PATH", default_value = "/var/tmp")]
    directory: PathBuf,
}

/// Which of ours take part in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// None: it is left out
    None,
    /// Those with the default codec
    Default,
    /// All
    All,
}

impl Which {
    fn takes(self, kind: &Kind) -> bool {
        match kind {
            Kind::Ours(policy) => {
                self == Which::All || (self == Which::Default && policy.has_default_codec())
            }
            _ => false,
        }
    }
}

/// Pages captured of each program.
const CAPTURE: usize = 1024;

/// How many rounds of light pressure there are for each other round: a slowdown of one in a
/// hundred is looked for.
const LIGHT_ROUNDS: usize = 3;

/// Runs the comparison.
///
/// # Errors
/// Where the machine lacks what all kinds need, or a page comes back wrong.
pub(crate) fn run(args: &SwapArgs) -> Result<SwapReport> {
    machine::need_root("swap")?;
    let quick = args.common.quick;
    let (limit_mib, rounds, capture) = if quick {
        (16, 1, 128)
    } else {
        (args.limit, args.rounds, CAPTURE)
    };
    let limit = (limit_mib as u64) << 20;
    let samples = samples(capture, quick)?;
    let kinds = kinds(args);
    let mut report = SwapReport {
        bytes: 2 * limit,
        limit,
        references: args.reference.clone(),
        rows: Vec::new(),
        same_memory: None,
        light: Vec::new(),
    };
    let load = |processes, bytes: u64| -> Result<Load<'_>> {
        Ok(Load {
            processes,
            pages: usize::try_from(bytes)? / PAGE_SIZE,
            samples: samples.path(),
            directory: &args.directory,
        })
    };
    for (at, &processes) in args.processes.iter().enumerate() {
        let load = load(processes, 2 * limit)?;
        let contestants: Vec<Contestant> = kinds
            .iter()
            .filter(|kind| at == 0 || !matches!(kind, Kind::Ours(p) if !p.has_default_codec()))
            .map(|kind| Contestant::new(kind.clone(), &load, limit))
            .collect();
        let runs = contest::take_turns("same limit", &contestants, &load, &Phase::ALL, rounds)?;
        report
            .rows
            .extend(contest::rows(&contestants, &runs, processes));
    }
    if args.same_memory != Which::None {
        let load = load(args.processes[0], 2 * limit)?;
        report.same_memory = same_memory(args, &kinds, &report.rows, &load, limit, rounds)?;
    }
    let light: Vec<Kind> = kinds
        .iter()
        .filter(|kind| args.light.takes(kind) || is_peer(args, kind))
        .cloned()
        .collect();
    if light.iter().any(|kind| args.light.takes(kind)) {
        let load = load(1, limit / 4 * 3)?;
        report.light = light::measure(&light, &load, limit, rounds * LIGHT_ROUNDS, quick)?;
    }
    Ok(report)
}

/// Whether this is the first reference, whose memory ours are given.
fn is_peer(args: &SwapArgs, kind: &Kind) -> bool {
    args.reference.first() == Some(&kind.name())
}

/// Measures ours with the memory that the peer took under the common limit, as `rows` tell;
/// `None` where the peer or all of ours were not measured there.
fn same_memory(
    args: &SwapArgs,
    kinds: &[Kind],
    rows: &[Row],
    load: &Load<'_>,
    limit: u64,
    rounds: usize,
) -> Result<Option<SameMemory>> {
    let taken = |kind: &Kind| {
        let name = kind.name();
        let found = rows
            .iter()
            .find(|row| row.area == name && row.processes == load.processes)?;
        Some((kind.clone(), found.all_bytes as u64))
    };
    let Some((peer, target)) = kinds
        .iter()
        .find(|kind| is_peer(args, kind))
        .and_then(taken)
    else {
        return Ok(None);
    };
    let ours: Vec<(Kind, u64)> = kinds
        .iter()
        .filter(|kind| args.same_memory.takes(kind))
        .filter_map(taken)
        .collect();
    if ours.is_empty() {
        return Ok(None);
    }
    SameMemory::measure((&peer, target), &ours, load, limit, rounds).map(Some)
}

/// The kinds of swap that this machine has and that are asked for.
fn kinds(args: &SwapArgs) -> Vec<Kind> {
    let mut kinds = vec![Kind::Ram];
    match zram::algorithms() {
        Ok(algorithms) => kinds.extend(algorithms.into_iter().map(Kind::Zram)),
        Err(error) => eprintln!("zram: left out, {error:#}"),
    }
    if area::has_zswap() {
        kinds.push(Kind::Zswap);
    } else {
        eprintln!("zswap: left out, this kernel has none");
    }
    kinds.push(Kind::File);
    kinds.extend(ours::policies(&args.transport).into_iter().map(Kind::Ours));
    kinds.retain(|kind| {
        let name = kind.name();
        let wanted = |only: &String| args.reference.contains(&name) || name.contains(only.as_str());
        args.only.as_ref().is_none_or(wanted)
    });
    kinds
}

/// A file of pages captured from programs, those of each in turn.
fn samples(most: usize, quick: bool) -> Result<tempfile::NamedTempFile> {
    let sources = programs::sources(most, quick);
    ensure!(
        !sources.is_empty(),
        "no program to take pages from: install python3"
    );
    let mut file = tempfile::NamedTempFile::new().context("no file for samples")?;
    for at in 0..most {
        for page in sources.iter().filter_map(|source| source.pages.get(at)) {
            file.write_all(page)?;
        }
    }
    Ok(file)
}
