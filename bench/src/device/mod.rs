//! `device`: 4 KiB direct reads and writes, one at a time and many at once.

mod load;
mod nbd;
mod nbdkit;
mod target;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use compcache_device::transport::fuse_loop::Channel;
use compcache_engine::{PAGE_SIZE, Page};
use serde::Serialize;

use crate::report::{Common, Report, positive};
use crate::stat::median;
use crate::{interrupt, machine, ours, programs, zram};
use load::{Load, Measured};
use target::{Kind, Target};

/// Reads and writes pages of zram's devices, nbdkit's memory disk and ours, past the page cache
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Size of each device in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = positive)]
    size: usize,
    /// Reads, and writes, of each measurement
    #[arg(long, value_name = "N", default_value_t = 32768, value_parser = positive)]
    requests: usize,
    /// Rounds, in each of which every device has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Only devices whose name contains this, beside the first zram
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Every codec over each of these transports, fuse or fuse-uring [default: every codec over
    /// the daemon's own choice, the default codec over the others]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          value_parser = str::parse::<Channel>)]
    transport: Vec<Channel>,
    /// One more block device to measure; WHAT IT HOLDS IS LOST. For example
    /// --peer nbdkit=/dev/nbd0
    #[arg(long, value_name = "NAME=PATH", value_parser = peer)]
    peer: Vec<(String, PathBuf)>,
}

fn peer(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err("write it as NAME=PATH, for example nbdkit=/dev/nbd0".into()),
    }
}

/// Requests under way at once.
const DEPTHS: [usize; 2] = [1, 32];

/// Pages captured of each program.
const CAPTURE: usize = 1024;

/// A row: one device, one kind of request, one depth; medians of the rounds.
#[derive(Debug, Serialize)]
struct Row {
    device: String,
    /// Whether pages were written; else they were read.
    write: bool,
    /// Requests under way at once.
    depth: usize,
    iops: f64,
    /// Microseconds: p50, p99, p99.9.
    latency_us: [f64; 3],
    /// The `iops` divided by the reference's in the same round.
    iops_to_reference: f64,
}

/// The rows, and what they are compared with.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceReport {
    reference: String,
    rows: Vec<Row>,
}

/// Runs the comparison.
///
/// # Errors
/// Where no page can be captured, or the device that all are compared with fails. Another one
/// that fails, or gives back a wrong page, is named on standard error and left out.
pub(crate) fn run(args: &DeviceArgs) -> Result<DeviceReport> {
    machine::need_root("device")?;
    let quick = args.common.quick;
    let (size, requests, rounds, capture) = if quick {
        (4, 512, 1, 128)
    } else {
        (args.size, args.requests, args.rounds, CAPTURE)
    };
    let sources = programs::sources(capture, quick);
    ensure!(
        !sources.is_empty(),
        "no program to take pages from: install python3"
    );
    let samples: Vec<_> = sources
        .into_iter()
        .flat_map(|source| source.pages)
        .collect();
    let mut kinds = kinds(&args.peer, &args.transport);
    ensure!(!kinds.is_empty(), "no device can be measured");
    let reference = kinds[0].name();
    kinds.retain(|kind| {
        let name = kind.name();
        name == reference || args.only.as_ref().is_none_or(|only| name.contains(only))
    });
    let bytes = (size as u64) << 20;
    // For each device: rounds of measurements.
    let mut runs: Vec<Vec<Vec<Measured>>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            // One that failed once has no later rounds either.
            if runs.len() < round {
                continue;
            }
            match measure(kind, &samples, bytes, requests, round as u64) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    interrupt::check()?;
                    eprintln!("{}: left out, {error:#}", kind.name());
                }
            }
        }
    }
    ensure!(
        runs[0].len() == rounds,
        "{reference}, which all are compared with, failed"
    );
    let mut rows = Vec::new();
    for at in 0..DEPTHS.len() * 2 {
        for (kind, own) in kinds.iter().zip(&runs) {
            if own.len() == rounds {
                rows.push(row(&kind.name(), at, own, &runs[0]));
            }
        }
    }
    Ok(DeviceReport { reference, rows })
}

/// Measures a device once: writes and reads at each depth.
fn measure(
    kind: &Kind,
    samples: &[Page],
    bytes: u64,
    requests: usize,
    seed: u64,
) -> Result<Vec<Measured>> {
    interrupt::check()?;
    let mut target = Target::new(kind, bytes)?;
    let mut load = Load::new(target.access(), samples, bytes / PAGE_SIZE as u64, seed)?;
    let mut measured = Vec::new();
    for depth in DEPTHS {
        for write in [true, false] {
            measured.push(load.measure(write, depth, requests)?);
        }
    }
    Ok(measured)
}

fn kinds(given: &[(String, PathBuf)], transports: &[Channel]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    match zram::algorithms() {
        Ok(algorithms) => kinds.extend(algorithms.into_iter().map(Kind::Zram)),
        Err(error) => eprintln!("zram: left out, {error:#}"),
    }
    if nbdkit::is_installed() {
        kinds.push(Kind::Nbdkit);
    } else {
        eprintln!("nbdkit: left out, not installed");
    }
    kinds.extend(
        given
            .iter()
            .map(|(name, node)| Kind::Given(name.clone(), node.clone())),
    );
    kinds.extend(ours::policies(transports).into_iter().map(Kind::Ours));
    kinds
}

/// The row of measurement `at` of all rounds.
fn row(device: &str, at: usize, own: &[Vec<Measured>], reference: &[Vec<Measured>]) -> Row {
    let of = |value: &dyn Fn(&Measured) -> f64| {
        median(own.iter().map(|round| value(&round[at])).collect())
    };
    let pairs = own.iter().zip(reference);
    Row {
        device: device.to_owned(),
        write: own[0][at].write,
        depth: own[0][at].depth,
        iops: of(&|m| m.iops),
        latency_us: [0.5, 0.99, 0.999].map(|q| of(&|m| m.latency.quantile(q) / 1000.0)),
        iops_to_reference: median(
            pairs
                .map(|(own, peer)| own[at].iops / peer[at].iops)
                .collect(),
        ),
    }
}

impl Report for DeviceReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut last = None;
        for row in &self.rows {
            let what = if row.write { "writes" } else { "reads" };
            if last.replace((row.write, row.depth)) != Some((row.write, row.depth)) {
                let title = format!("{what}, depth {}", row.depth);
                writeln!(
                    out,
                    "\n{title:<25} {:>9} {:>7} {:>8} {:>8} {:>8}",
                    "requests/s", "x", "p50 us", "p99", "p99.9"
                )?;
            }
            let [p50, p99, p999] = row.latency_us;
            writeln!(
                out,
                "{:<25} {:>9.0} {:>7.2} {p50:>9.1} {p99:>8.1} {p999:>8.1}",
                row.device, row.iops, row.iops_to_reference
            )?;
        }
        writeln!(
            out,
            "\n(4 KiB at random places, past the page cache, one thread for each request under way,\n \
             nbdkit by one connection to its socket, without a block device;\n \
             x: divided by {} in the same round; medians of the rounds)",
            self.reference
        )
    }
}
