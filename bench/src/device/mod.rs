//! `device`: 4 KiB direct reads and writes, one at a time and many at once.

mod load;
mod nbd;
mod nbdkit;
mod target;

use std::io::{self, Write};

use anyhow::{Result, ensure};
use clap::Args;
use compcache_device::settings::Channel;
use compcache_engine::{PAGE_SIZE, Page};
use serde::Serialize;

use crate::ours::Selection;
use crate::report::{Common, Report, positive};
use crate::rounds::{self, Failure, Runs};
use crate::table::Table;
use crate::{machine, ours, programs, zram};
use load::{Load, Measured};
use target::{Contender, Target};

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
    #[command(flatten)]
    selection: Selection,
}

/// Requests under way at once.
const DEPTHS: [usize; 2] = [1, 32];

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
/// If no page can be captured, or the device that all are compared with fails. Another one
/// that fails, or gives back a wrong page, is named on standard error and left out.
pub(crate) fn run(args: &DeviceArgs) -> Result<DeviceReport> {
    machine::need_root("device")?;
    let quick = args.common.quick;
    let full = (args.size, args.requests, args.selection.rounds, CAPTURE);
    let (size, requests, rounds, capture) = args.common.choose((4, 512, 1, 128), full);
    let sources = programs::some_sources(capture, quick)?;
    let samples: Vec<_> = sources.into_iter().flat_map(|of| of.pages).collect();
    let mut contenders = contenders(&args.selection.transport);
    ensure!(!contenders.is_empty(), "no device can be measured");
    let reference = contenders[0].to_string();
    let references = std::slice::from_ref(&reference);
    contenders.retain(|contender| args.selection.takes(contender, references));
    let bytes = (size as u64) << 20;
    let run = |contender: &mut Contender, round| {
        measure(contender, &samples, bytes, requests, round as u64)
    };
    let runs = rounds::alternate(None, &mut contenders, rounds, Failure::LeavesOut, run)?.runs;
    ensure!(
        runs[0].len() == rounds,
        "{reference}, which all are compared with, failed"
    );
    let mut rows = Vec::new();
    for at in 0..DEPTHS.len() * 2 {
        let measured = contenders.iter().zip(&runs);
        let measured = measured.filter(|(_, own)| own.len() == rounds);
        rows.extend(measured.filter_map(|(of, own)| row(of.to_string(), at, own, &runs[0])));
    }
    Ok(DeviceReport { reference, rows })
}

/// Measures a device once: writes and reads at each depth.
fn measure(
    contender: &Contender,
    samples: &[Page],
    bytes: u64,
    requests: usize,
    seed: u64,
) -> Result<Vec<Measured>> {
    let mut target = Target::new(contender, bytes)?;
    let mut load = Load::new(&mut target.access, samples, bytes / PAGE_SIZE as u64, seed)?;
    let mut measured = Vec::new();
    for depth in DEPTHS {
        for write in [true, false] {
            measured.push(load.measure(write, depth, requests)?);
        }
    }
    Ok(measured)
}

fn contenders(transports: &[Channel]) -> Vec<Contender> {
    let zram = zram::algorithms_for("device").into_iter();
    let mut all: Vec<Contender> = zram.map(Contender::Zram).collect();
    if nbdkit::is_installed() {
        all.push(Contender::Nbdkit);
    } else {
        eprintln!("nbdkit: left out, not installed");
    }
    all.extend(ours::policies(transports).into_iter().map(Contender::Ours));
    all
}

/// The row of measurement `at` of all rounds.
fn row(
    device: String,
    at: usize,
    own: &Runs<Vec<Measured>>,
    reference: &Runs<Vec<Measured>>,
) -> Option<Row> {
    let Measured { write, depth, .. } = own.iter().next()?[at];
    let latency = |q| own.median(|all| all[at].latency.quantile(q) / 1000.0);
    Some(Row {
        device,
        write,
        depth,
        iops: own.median(|all| all[at].iops),
        latency_us: [0.5, 0.99, 0.999].map(latency),
        iops_to_reference: own.ratio(reference, |all| all[at].iops),
    })
}

impl Report for DeviceReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let same = |a: &Row, b: &Row| (a.write, a.depth) == (b.write, b.depth);
        for rows in self.rows.chunk_by(same) {
            let what = if rows[0].write { "writes" } else { "reads" };
            let title = format!("{what}, depth {}", rows[0].depth);
            writeln!(out)?;
            Table::new(|row: &Row| row.device.clone())
                .column("requests/s", |row| format!("{:.0}", row.iops))
                .column("x", |row| format!("{:.2}", row.iops_to_reference))
                .column("p50 us", |row| format!("{:.1}", row.latency_us[0]))
                .column("p99", |row| format!("{:.1}", row.latency_us[1]))
                .column("p99.9", |row| format!("{:.1}", row.latency_us[2]))
                .print(out, &title, rows)?;
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
