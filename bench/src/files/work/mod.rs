//! What is done with files: the workloads.

mod adapt;
mod build;
mod database;
mod grep;
mod hot;
mod pgbench;
mod random;
mod scan;
mod stat;
mod write;

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::data::{DataSet, Store};
use super::stage::Stage;

/// A group of workloads that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// Pages anywhere in more files than fit into memory, uniform
    Random,
    /// The same by Zipf's law
    Zipf,
    /// grep -r over a source tree, again and again
    Grep,
    /// cargo build, from nothing each time
    Build,
    /// Queries of sqlite3
    Sqlite,
    /// pgbench -S on PostgreSQL
    Pgbench,
    /// Files that just fit into memory without us
    Fits,
    /// What the kernel's page cache holds, by pread(2) and mmap(2)
    Hot,
    /// git status in a repository of 50,000 files
    Stat,
    /// A set in use while a long scan comes by
    Scan,
    /// A working set that grows and shrinks
    Adapt,
    /// Writes with fsync(2)
    Write,
}

/// What workloads are made for.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// Where data sets are kept.
    pub(crate) store: &'a Store,
    /// Bytes of memory for all who take part.
    pub(crate) limit: u64,
    /// Bytes that the cache of our mount may take.
    pub(crate) cache: u64,
    /// How many times as much is done as by default.
    pub(crate) scale: f64,
    /// Whether all of it only shows that it works.
    pub(crate) quick: bool,
}

impl Setting<'_> {
    /// `number` of something, scaled, 1 at least; a hundredth in a quick run.
    fn scaled(&self, number: u64) -> u64 {
        let scale = if self.quick { 0.01 } else { self.scale };
        ((number as f64 * scale) as u64).max(1)
    }

    /// How often something is done again after the first time.
    fn again(&self, times: usize) -> usize {
        if self.quick { 1 } else { times }
    }
}

/// Which time is compared with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// From a cold start to the end.
    Total,
    /// After the first pass.
    Steady,
}

/// What the ratio to the bare directory should be at most.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target {
    /// Which time.
    pub(crate) part: Part,
    /// On a throttled disk.
    pub(crate) throttled: f64,
    /// On the disk as it is.
    pub(crate) unthrottled: f64,
}

/// More than memory holds: twice as fast on a slow disk, and no slower on a fast one.
const LARGER_THAN_MEMORY: Target = Target {
    part: Part::Total,
    throttled: 0.5,
    unthrottled: 1.0,
};

/// Which of the places beside the bare directory and ours a workload has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// None.
    None,
    /// tmpfs.
    Tmpfs,
    /// tmpfs, and a file system on zram, filled beforehand.
    TmpfsAndZram,
}

/// One workload with its files.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name, with its size.
    pub(crate) name: String,
    /// What it should come to.
    pub(crate) target: Option<Target>,
    /// The files.
    pub(crate) data: DataSet,
    /// Whether files are written, so that each run has a copy of its own.
    pub(crate) copied: bool,
    /// Whether ours takes part with write-back too.
    pub(crate) write_back: bool,
    /// Bytes of memory for all who take part; `None` for no limit.
    pub(crate) limit: Option<u64>,
    /// Whether it is worth it to throttle the disk.
    pub(crate) throttled: bool,
    /// Who else takes part.
    pub(crate) peers: Peers,
    /// The work.
    pub(crate) work: Box<dyn Work>,
}

impl Job {
    /// A job that only reads, under the common limit, throttled and not.
    fn new(setting: &Setting<'_>, name: String, data: DataSet, work: impl Work + 'static) -> Job {
        Job {
            name,
            target: Some(LARGER_THAN_MEMORY),
            data,
            copied: false,
            write_back: false,
            limit: Some(setting.limit),
            throttled: true,
            peers: Peers::Tmpfs,
            work: Box::new(work),
        }
    }
}

/// Does the work of a job.
pub(crate) trait Work: fmt::Debug {
    /// Does it once on a stage that is cold, and checks that what was read is right.
    ///
    /// # Errors
    /// Where it is not, where a program fails, or after Ctrl-C.
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured>;
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Seconds of the first pass, from a cold start.
    pub(crate) first_s: f64,
    /// Seconds of all that comes after it.
    pub(crate) steady_s: f64,
    /// What else is worth knowing.
    pub(crate) values: Vec<(String, f64)>,
    /// Memory over time.
    pub(crate) series: Vec<Sample>,
}

/// Memory at some time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) seconds: f64,
    /// Bytes of the pool of our mount.
    pub(crate) pool: u64,
    /// Bytes of memory of all who take part.
    pub(crate) used: u64,
    /// Bytes of files in use at the time.
    pub(crate) working_set: u64,
}

/// Makes the jobs of a group, and their data sets.
///
/// # Errors
/// Where the machine lacks what they need.
pub(crate) fn jobs(name: Name, setting: &Setting<'_>) -> Result<Vec<Job>> {
    match name {
        Name::Random => random::uniform(setting),
        Name::Zipf => random::zipf(setting),
        Name::Grep => grep::jobs(setting),
        Name::Build => build::jobs(setting),
        Name::Sqlite => database::jobs(setting),
        Name::Pgbench => pgbench::jobs(setting),
        Name::Fits => random::fits(setting),
        Name::Hot => hot::jobs(setting),
        Name::Stat => stat::jobs(setting),
        Name::Scan => scan::jobs(setting),
        Name::Adapt => adapt::jobs(setting),
        Name::Write => write::jobs(setting),
    }
}

/// A pass over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// From a cold start.
    First,
    /// One in which whatever can be kept comes to be kept. The disk is not throttled, and it
    /// does not count.
    Warm,
    /// One of those that follow.
    Again(usize),
}

/// Does the first of several passes, one to warm up, and `again` others. `pass` gives the seconds
/// of each.
fn passes(
    stage: &mut Stage,
    again: usize,
    mut pass: impl FnMut(&Stage, Pass) -> Result<f64>,
) -> Result<Measured> {
    let first_s = pass(stage, Pass::First)?;
    stage.throttle(false)?;
    let warm_s = pass(stage, Pass::Warm)?;
    stage.throttle(true)?;
    stage.mark()?;
    let mut steady_s = 0.0;
    for number in 0..again {
        steady_s += pass(stage, Pass::Again(number))?;
    }
    Ok(Measured {
        first_s,
        steady_s,
        values: vec![("warm-up s".to_owned(), warm_s)],
        ..Measured::default()
    })
}
