//! `swap`: programs that have twice the memory they may use, with each kind of swap.

mod area;
mod cpu;
mod mapping;
mod party;
mod run;
mod table;
mod toucher;
mod turn;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use compcache_engine::PAGE_SIZE;
use compcache_engine::codec::{self, CodecSpec};

use crate::report::{Common, positive};
use crate::{interrupt, machine, programs, zram};
use area::Kind;
use run::{Load, Run};
use table::Row;
pub(crate) use table::SwapReport;
pub(crate) use toucher::{ToucherArgs, run as touch};

/// Swaps the memory of processes that have twice what they may use, to zram, zswap, a file and
/// our device
#[derive(Debug, Args)]
pub(crate) struct SwapArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Memory that the processes may use together, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = positive)]
    limit: usize,
    /// How many processes share that; several numbers are measured one after the other
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = positive)]
    processes: Vec<usize>,
    /// Rounds, in each of which every kind of swap has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Only kinds of swap whose name contains this, beside the reference
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The kind of swap that the table compares with
    #[arg(long, value_name = "NAME", default_value = "zram lzo-rle")]
    reference: String,
    /// Where swap files are made
    #[arg(long, value_name = "PATH", default_value = "/var/tmp")]
    directory: PathBuf,
}

/// Pages captured of each program.
const CAPTURE: usize = 1024;

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
    let mut kinds = kinds();
    kinds.retain(|kind| {
        let name = kind.name();
        let wanted = |only: &String| name == args.reference || name.contains(only.as_str());
        args.only.as_ref().is_none_or(wanted)
    });
    let mut report = SwapReport {
        bytes: 2 * limit,
        limit,
        reference: args.reference.clone(),
        rows: Vec::new(),
    };
    for &processes in &args.processes {
        let load = Load {
            processes,
            pages: usize::try_from(2 * limit)? / PAGE_SIZE,
            limit,
            samples: samples.path(),
            directory: &args.directory,
        };
        report.rows.extend(rows(&kinds, &load, rounds)?);
    }
    Ok(report)
}

/// Measures all kinds under one load.
fn rows(kinds: &[Kind], load: &Load<'_>, rounds: usize) -> Result<Vec<Row>> {
    let mut runs: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            eprintln!(
                "round {} of {rounds}, processes: {}: {}",
                round + 1,
                load.processes,
                kind.name()
            );
            match Run::new(kind, load, round) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    interrupt::check()?;
                    eprintln!("{}, round {}: left out, {error:#}", kind.name(), round + 1);
                }
            }
        }
    }
    ensure!(
        runs.iter().any(|runs| !runs.is_empty()),
        "nothing could be measured"
    );
    let is_peer = |kind: &Kind| !matches!(kind, Kind::Ours(_) | Kind::Ram);
    let peers: Vec<(String, &[Run])> = kinds
        .iter()
        .zip(&runs)
        .filter(|(kind, runs)| is_peer(kind) && !runs.is_empty())
        .map(|(kind, runs)| (kind.name(), &runs[..]))
        .collect();
    Ok(kinds
        .iter()
        .zip(&runs)
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(kind, runs)| Row::new(&kind.name(), load.processes, runs, &peers))
        .collect())
}

fn kinds() -> Vec<Kind> {
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
    let codecs = codec::selectable().filter_map(|id| CodecSpec::new(id).ok());
    kinds.extend(codecs.map(Kind::Ours));
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
