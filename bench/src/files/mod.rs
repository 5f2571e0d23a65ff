//! `files`: more files than fit into memory, read through our mount and without it.

mod cgroup;
mod comparison;
mod config;
mod data;
mod disk;
mod mount;
mod place;
mod report;
mod row;
mod setup;
mod throttle;
mod work;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum as _};
use compcache_engine::CodecSpec;
use compcached::size::Size;

use crate::report::{Common, PlotArgs, positive};
use crate::{interrupt, machine, zram};
use config::Config;
use data::Store;
use disk::Disk;
use place::{Backend, Policy};
pub(crate) use report::FilesReport;
use row::Row;
use throttle::Throttle;
use work::Name;
use work::job::{Job, Peers};

/// Reads and writes files through our mount, in the bare directory beneath it, on tmpfs and on
/// zram, with the same memory for all processes, on the disk as it is and made slow
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
    /// Memory for all processes, our daemon with its cache included: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE", default_value = "192M")]
    limit: Size,
    /// What our cache may take of it: bytes, or with K, M, G, or % of the limit
    #[arg(long, value_name = "SIZE", default_value = "75%")]
    cache: Size,
    /// Where the files are kept, once made: on the disk that is measured [default:
    /// compcache-bench-files in the directory above this program's]
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Rounds, in each of which every place is used once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Speeds of the disk, for all alike: BYTES:OPERATIONS in a second, or none
    #[arg(long, value_name = "SPEED,...", value_delimiter = ',', default_value = "20M:500,none",
          value_parser = str::parse::<Throttle>)]
    throttle: Vec<Throttle>,
    /// Codecs of our mount
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          default_values_t = [compcached::mounts::plan::DEFAULT_CODEC], value_parser = str::parse::<CodecSpec>)]
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

const QUICK_LIMIT: u64 = 96 << 20;

/// The speed of the disk in a quick run.
const QUICK_THROTTLE: Throttle = Throttle::At {
    bytes: 200_000_000,
    operations: 20_000,
};

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("give a number above 0".into()),
    }
}

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
    let throttles = args
        .common
        .choose(vec![QUICK_THROTTLE], args.throttle.clone());
    let is_throttled = throttles.iter().any(|throttle| *throttle != Throttle::None);
    let config = Config {
        store: &store,
        disk: is_throttled
            .then(|| Disk::beneath(store.directory()))
            .transpose()?,
        limit,
        cache,
        scale: args.scale,
        common: args.common,
    };
    for &throttle in &throttles {
        comparison::check_throttle(&config, throttle)?;
    }
    let mut report = FilesReport {
        limit,
        cache,
        rows: Vec::new(),
        left_out: Vec::new(),
    };
    // The default algorithm of this kernel's.
    let zram = zram::algorithms_for("files").into_iter().next();
    for &name in &args.workload {
        match work::jobs(name, &config) {
            Ok(jobs) => {
                for job in &jobs {
                    measure(args, &config, job, &throttles, zram.as_deref(), &mut report)?;
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
    config: &Config<'_>,
    job: &Job,
    throttles: &[Throttle],
    zram: Option<&str>,
    report: &mut FilesReport,
) -> Result<()> {
    let quick = config.common.quick;
    // One workload shows that the peers work.
    let peers = if quick && !report.rows.is_empty() {
        Peers::None
    } else {
        job.peers
    };
    let mut backends = backends(args, job, peers, zram);
    let rounds = args.common.choose(1, args.rounds);
    let throttles: &[Throttle] = if job.throttled {
        throttles
    } else {
        &[Throttle::None]
    };
    for &throttle in throttles {
        let compared = comparison::compare(config, job, throttle, &mut backends, rounds)?;
        // The bare directory comes first.
        let bare = &compared.runs[0];
        for (backend, runs) in backends.iter().zip(&compared.runs) {
            if !runs.is_empty() {
                let row = Row::new(job, throttle, backend, runs, bare);
                report.rows.push(row);
            }
        }
        report.left_out.extend(compared.left_out);
    }
    Ok(())
}

/// What is compared in a job, the bare directory first.
fn backends(args: &FilesArgs, job: &Job, peers: Peers, zram: Option<&str>) -> Vec<Backend> {
    let mut all = vec![Backend::Bare];
    if peers != Peers::None {
        all.push(Backend::Tmpfs);
    }
    if peers == Peers::TmpfsAndZram {
        all.extend(zram.map(|algorithm| Backend::Zram(algorithm.into())));
    }
    for &codec in &args.codec {
        let policy = |write_back| Backend::Ours(Policy { codec, write_back });
        all.push(policy(false));
        if job.write_back {
            all.push(policy(true));
        }
    }
    all.retain(|backend| {
        let only = args.only.as_ref();
        let is_wanted = |only: &String| backend.to_string().contains(only.as_str());
        *backend == Backend::Bare || only.is_none_or(is_wanted)
    });
    all
}

/// Where files are kept by default: `target/compcache-bench-files`.
fn default_source() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program has no path")?;
    let above = program
        .ancestors()
        .nth(2)
        .context("no directory above this program's")?;
    Ok(above.join("compcache-bench-files"))
}
