//! `swap`: programs that have twice the memory they may use, with each kind of swap.

mod backend;
mod comparison;
mod light;
mod processes;
mod report;
mod row;
mod run;
mod same_memory;
mod search;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use compcache_engine::PAGE_SIZE;

use crate::load::memory::Phase;
use crate::ours::Selection;
use crate::report::{Common, PlotArgs, positive};
use crate::{machine, ours, programs, zram};
use backend::Backend;
pub(crate) use report::SwapReport;
use row::Row;
use run::{Contender, Workload};
use same_memory::SameMemory;

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
    #[command(flatten)]
    selection: Selection,
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

/// Which of ours are in a measurement.
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
    fn takes(self, backend: &Backend) -> bool {
        match backend {
            Backend::Ours(policy) => {
                self == Which::All || (self == Which::Default && policy.has_default_codec())
            }
            _ => false,
        }
    }
}

const CAPTURE: usize = 1024;

/// How many rounds of light pressure there are for each other round: a slowdown of one in a
/// hundred is looked for.
const LIGHT_ROUNDS: usize = 3;

pub(crate) fn run(args: &SwapArgs) -> Result<SwapReport> {
    machine::need_root("swap")?;
    let quick = args.common.quick;
    let full = (args.limit, args.selection.rounds, CAPTURE);
    let (limit_mib, rounds, capture) = args.common.choose((16, 1, 128), full);
    let limit = (limit_mib as u64) << 20;
    let samples = samples(capture, quick)?;
    let backends = backends(args);
    let mut report = SwapReport {
        bytes: 2 * limit,
        limit,
        references: args.reference.clone(),
        rows: Vec::new(),
        same_memory: None,
        light: Vec::new(),
    };
    let load = |processes, bytes: u64| -> Result<Workload<'_>> {
        Ok(Workload {
            processes,
            pages: usize::try_from(bytes)? / PAGE_SIZE,
            samples: samples.path(),
            directory: &args.directory,
        })
    };
    for (at, &processes) in args.processes.iter().enumerate() {
        let load = load(processes, 2 * limit)?;
        let is_other = |of: &Backend| matches!(of, Backend::Ours(p) if !p.has_default_codec());
        let mut contenders: Vec<Contender> = backends
            .iter()
            .filter(|backend| at == 0 || !is_other(backend))
            .map(|backend| Contender::new(backend.clone(), &load, limit))
            .collect();
        let phases = &Phase::ALL;
        let runs = comparison::compare("same limit", &mut contenders, &load, phases, rounds)?;
        let rows = comparison::rows(&contenders, &runs, processes);
        report.rows.extend(rows);
    }
    if args.same_memory != Which::None {
        let load = load(args.processes[0], 2 * limit)?;
        report.same_memory = same_memory(args, &backends, &report.rows, &load, limit, rounds)?;
    }
    let mut light = backends;
    light.retain(|backend| args.light.takes(backend) || is_peer(args, backend));
    if light.iter().any(|backend| args.light.takes(backend)) {
        let load = load(1, limit / 4 * 3)?;
        report.light = light::measure(&light, &load, limit, rounds * LIGHT_ROUNDS, quick)?;
    }
    Ok(report)
}

/// Whether this is the first reference, whose memory ours are given.
fn is_peer(args: &SwapArgs, backend: &Backend) -> bool {
    args.reference.first() == Some(&backend.to_string())
}

/// Measures ours with the memory that the peer took under the common limit, by `rows`;
/// `None` if the peer or all of ours were not measured there.
fn same_memory(
    args: &SwapArgs,
    backends: &[Backend],
    rows: &[Row],
    load: &Workload<'_>,
    limit: u64,
    rounds: usize,
) -> Result<Option<SameMemory>> {
    let taken = |backend: &Backend| {
        let name = backend.to_string();
        let is_it = |row: &&Row| row.area == name && row.processes == load.processes;
        let found = rows.iter().find(is_it)?;
        Some((backend.clone(), found.all_bytes as u64))
    };
    let peer = backends.iter().find(|backend| is_peer(args, backend));
    let ours = backends.iter().filter(|of| args.same_memory.takes(of));
    let ours: Vec<(Backend, u64)> = ours.filter_map(taken).collect();
    match peer.and_then(taken) {
        Some((peer, target)) if !ours.is_empty() => {
            SameMemory::measure((&peer, target), &ours, load, limit, rounds).map(Some)
        }
        _ => Ok(None),
    }
}

/// The kinds of swap that this machine has and that are asked for.
fn backends(args: &SwapArgs) -> Vec<Backend> {
    let mut all = vec![Backend::Ram];
    all.extend(zram::algorithms_for("swap").into_iter().map(Backend::Zram));
    if backend::has_zswap() {
        all.push(Backend::Zswap);
    } else {
        eprintln!("zswap: left out, this kernel has none");
    }
    all.push(Backend::File);
    let ours = ours::policies(&args.selection.transport).into_iter();
    all.extend(ours.map(Backend::Ours));
    all.retain(|backend| args.selection.takes(backend, &args.reference));
    all
}

/// A file of pages captured from programs, those of each in turn.
fn samples(most: usize, quick: bool) -> Result<tempfile::NamedTempFile> {
    let sources = programs::some_sources(most, quick)?;
    let mut file = tempfile::NamedTempFile::new().context("no file for samples")?;
    for at in 0..most {
        for page in sources.iter().filter_map(|source| source.pages.get(at)) {
            file.write_all(page)?;
        }
    }
    Ok(file)
}
