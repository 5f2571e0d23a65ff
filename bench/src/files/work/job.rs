//! A workload with its files, and what came of it.

use anyhow::Result;
use serde::Serialize;

use crate::files::config::Config;
use crate::files::data::DataSet;
use crate::files::setup::Setup;

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
    pub(crate) part: Part,
    /// On a throttled disk.
    pub(crate) throttled: f64,
    /// On the disk as it is.
    pub(crate) unthrottled: f64,
}

impl Target {
    /// The same for the steady part on every disk.
    pub(super) fn steady(ratio: f64) -> Target {
        Target {
            part: Part::Steady,
            throttled: ratio,
            unthrottled: ratio,
        }
    }
}

/// More than memory holds: twice as fast on a slow disk, and no slower on a fast one. The first
/// pass takes what the disk takes, whoever reads.
pub(super) const LARGER_THAN_MEMORY: Target = Target {
    part: Part::Steady,
    throttled: 0.5,
    unthrottled: 1.0,
};

/// Which of the places beside the bare directory and ours a workload has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    None,
    Tmpfs,
    /// tmpfs, and a file system on zram, filled beforehand.
    TmpfsAndZram,
}

pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) target: Option<Target>,
    pub(crate) data: DataSet,
    /// Whether files are written, so that each run has a copy of its own.
    pub(crate) copied: bool,
    pub(crate) write_back: bool,
    /// Bytes of memory for all processes; `None` for no limit.
    pub(crate) limit: Option<u64>,
    /// Whether it is worth it to throttle the disk.
    pub(crate) throttled: bool,
    pub(crate) peers: Peers,
    pub(crate) work: Work,
}

impl Job {
    /// A job that only reads, under the common limit, throttled and not.
    pub(super) fn new(
        config: &Config<'_>,
        name: String,
        data: DataSet,
        work: impl Fn(&mut Setup, u64) -> Result<Measured> + 'static,
    ) -> Job {
        Job {
            name,
            target: Some(LARGER_THAN_MEMORY),
            data,
            copied: false,
            write_back: false,
            limit: Some(config.limit),
            throttled: true,
            peers: Peers::Tmpfs,
            work: Box::new(work),
        }
    }
}

/// Does it once in a setup that is cold, in a round, and checks that what was read is right.
type Work = Box<dyn Fn(&mut Setup, u64) -> Result<Measured>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Seconds of the first pass, from a cold start.
    pub(crate) first_s: f64,
    /// Seconds of all that comes after it.
    pub(crate) steady_s: f64,
    pub(crate) values: Vec<(String, f64)>,
    pub(crate) series: Vec<Sample>,
}

impl Measured {
    /// Seconds of all.
    pub(crate) fn total_s(&self) -> f64 {
        self.first_s + self.steady_s
    }

    /// Adds one of the values.
    pub(super) fn note(&mut self, name: &str, value: f64) {
        self.values.push((name.to_owned(), value));
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) seconds: f64,
    /// Bytes of the pool of our mount.
    pub(crate) pool: u64,
    /// Bytes of memory of all processes.
    pub(crate) used: u64,
    /// Bytes of files in use at the time.
    pub(crate) working_set: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    /// One in which whatever can be kept comes to be kept. The disk is not throttled, and it
    /// does not count.
    Warm,
    /// One of those that follow.
    Again(usize),
}

/// Does the first of several passes, one to warm up, and `again` others. `pass` gives the seconds
/// of each.
pub(super) fn passes(
    setup: &mut Setup,
    again: usize,
    mut pass: impl FnMut(&Setup, Pass) -> Result<f64>,
) -> Result<Measured> {
    let mut measured = Measured {
        first_s: pass(setup, Pass::First)?,
        ..Measured::default()
    };
    let warm_s = setup.unthrottled(|| pass(setup, Pass::Warm))?;
    measured.note("warm-up s", warm_s);
    setup.mark()?;
    for number in 0..again {
        measured.steady_s += pass(setup, Pass::Again(number))?;
    }
    Ok(measured)
}
