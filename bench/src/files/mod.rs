//! `files`: more files than fit into memory, read through our mount and without it.

mod cage;
mod contest;
mod data;
mod disk;
mod hand;
mod mount;
mod orders;
mod place;
mod plots;
mod program;
mod row;
mod stage;
mod sums;
mod table;
mod throttle;
mod work;
mod writer;
mod zipf;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum as _};
use compcache_engine::CodecSpec;
use compcached::size::Size;

use crate::report::{Common, PlotArgs, positive};
use crate::{interrupt, machine, zram};
use data::Store;
use disk::Disk;
pub(crate) use hand::run as do_orders;
pub(crate) use orders::HandArgs;
use place::{Kind, Policy};
use row::Row;
use stage::Scene;
pub(crate) use table::FilesReport;
use throttle::Throttle;
use work::{Job, Name, Peers, Setting};

/// Reads and writes files through our mount, in the bare directory beneath it, on tmpfs and on
/// zram, with the same memory for all who take part, on the disk as it is and made slow
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
    /// Memory for all who take part, our daemon with its cache included: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE", default_value = "192M")]
    limit: Size,
    /// What our cache may take of it: bytes, or with K, M, G, or % of the limit
    #[arg(long, value_name = "SIZE", default_value = "75%")]
    cache: Size,
    /// Where the files are kept, once made: on the disk that is measured [default:
    /// compcache-bench-files in the directory above this program's]
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Rounds, in each of which every place has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Speeds of the disk, for all alike: BYTES:OPERATIONS in a second, or none
    #[arg(long, value_name = "SPEED,...", value_delimiter = ',', default_value = "20M:500,none",
          value_parser = str::parse::<Throttle>)]
    throttle: Vec<Throttle>,
    /// Codecs of our mount
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          default_values_t = [CodecSpec::default()], value_parser = str::parse::<CodecSpec>)]
    codec: Vec<CodecSpec>,
    /// What is done
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values_t = Name::value_variants().to_vec(),
          value_enum, hide_default_value = true)]
    workload: Vec<Name>,
    /// How many times as much is done as by default
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    scale: f64,
    /// Only places whose name contains this, beside the bare directory
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Memory in a quick run.
const QUICK_LIMIT: u64 = 96 << 20;

/// The speed of the disk in a quick run.
const QUICK_THROTTLE: Throttle = Throttle::At {
    bytes: 200_000_000,
    operations: 20_000,
};

/// A number above 0.
fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("must be a number above 0".into()),
    }
}

/// Runs the comparison.
///
/// # Errors
/// Where the machine lacks what all places need, or after Ctrl-C.
pub(crate) fn run(args: &FilesArgs) -> Result<FilesReport> {
    machine::need_root("files")?;
    let quick = args.common.quick;
    let limit = match (quick, args.limit) {
        (true, _) => QUICK_LIMIT,
        (false, Size::Bytes(bytes)) => bytes,
        (false, Size::Percent(_)) => anyhow::bail!("--limit: write a number of bytes, as in 192M"),
    };
    let cache = args.cache.resolve(limit)?;
    ensure!(
        cache < limit,
        "--cache: it must be less than the limit of {} MiB",
        limit >> 20
    );
    let store = Store::open(&match &args.source {
        Some(directory) => directory.clone(),
        None => default_source()?,
    })?;
    let throttles = if quick {
        vec![QUICK_THROTTLE]
    } else {
        args.throttle.clone()
    };
    let is_throttled = throttles.iter().any(|throttle| *throttle != Throttle::None);
    let scene = Scene {
        store: &store,
        disk: is_throttled
            .then(|| Disk::beneath(store.directory()))
            .transpose()?,
        cache,
    };
    let setting = Setting {
        store: &store,
        limit,
        cache,
        scale: args.scale,
        quick,
    };
    for &throttle in &throttles {
        contest::check_throttle(&scene, throttle)?;
    }
    let mut report = FilesReport {
        limit,
        cache,
        rows: Vec::new(),
        left_out: Vec::new(),
    };
    let zram = zram_algorithm();
    for &name in &args.workload {
        match work::jobs(name, &setting) {
            Ok(jobs) => {
                for job in &jobs {
                    measure(args, &scene, job, &throttles, zram.as_deref(), &mut report)?;
                }
            }
            Err(error) => {
                interrupt::check()?;
                let (name, why) = (format!("{name:?}").to_lowercase(), format!("{error:#}"));
                eprintln!("{name}: left out, {why}");
                report.left_out.push((name, why));
            }
        }
    }
    Ok(report)
}

/// Measures a job at each speed of the disk.
fn measure(
    args: &FilesArgs,
    scene: &Scene<'_>,
    job: &Job,
    throttles: &[Throttle],
    zram: Option<&str>,
    report: &mut FilesReport,
) -> Result<()> {
    let quick = args.common.quick;
    // One workload shows that the peers work.
    let peers = if quick && !report.rows.is_empty() {
        Peers::None
    } else {
        job.peers
    };
    let kinds = kinds(args, job, peers, zram);
    let rounds = if quick { 1 } else { args.rounds };
    let unthrottled = [Throttle::None];
    let throttles = if job.throttled {
        throttles
    } else {
        &unthrottled
    };
    for &throttle in throttles {
        let runs = contest::take_turns(scene, job, throttle, &kinds, rounds, &mut report.left_out)?;
        let bare = kinds.iter().position(|kind| *kind == Kind::Bare);
        let bare = bare.map_or(&[][..], |at| &runs[at]);
        for (kind, runs) in kinds.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            report.rows.push(Row::new(job, throttle, kind, runs, bare));
        }
    }
    Ok(())
}

/// Who takes part in a job.
fn kinds(args: &FilesArgs, job: &Job, peers: Peers, zram: Option<&str>) -> Vec<Kind> {
    let mut kinds = vec![Kind::Bare];
    if peers != Peers::None {
        kinds.push(Kind::Tmpfs);
    }
    if peers == Peers::TmpfsAndZram {
        kinds.extend(zram.map(|algorithm| Kind::Zram(algorithm.into())));
    }
    for &codec in &args.codec {
        let policy = |write_back| Kind::Ours(Policy { codec, write_back });
        kinds.push(policy(false));
        if job.write_back {
            kinds.push(policy(true));
        }
    }
    let wanted = |kind: &Kind| {
        let only = args.only.as_ref();
        *kind == Kind::Bare || only.is_none_or(|only| kind.to_string().contains(only.as_str()))
    };
    kinds.retain(wanted);
    kinds
}

/// The default algorithm of this kernel's zram.
fn zram_algorithm() -> Option<String> {
    match zram::algorithms() {
        Ok(algorithms) => algorithms.into_iter().next(),
        Err(error) => {
            eprintln!("zram: left out, {error:#}");
            None
        }
    }
}

/// Where files are kept unless told otherwise: `target/compcache-bench-files`.
fn default_source() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program has no path")?;
    let above = program
        .ancestors()
        .nth(2)
        .context("no directory above this program's")?;
    Ok(above.join("compcache-bench-files"))
}
