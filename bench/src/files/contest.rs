//! Places that take turns under the same workload.

use anyhow::{Result, ensure};

use super::data::{bytes_in, corpus};
use super::orders::{Done, Order};
use super::place::Kind;
use super::stage::{Scene, Setup, Stage};
use super::throttle::Throttle;
use super::work::{Job, Measured};
use crate::interrupt;
use crate::stat::median;

/// What came of one place in one round.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The round.
    pub(crate) round: usize,
    /// What the work took.
    pub(crate) measured: Measured,
}

impl Run {
    /// Does a job once.
    ///
    /// # Errors
    /// Where it can't be set up, something read is wrong, or after Ctrl-C.
    pub(crate) fn new(
        scene: &Scene<'_>,
        job: &Job,
        throttle: Throttle,
        kind: &Kind,
        round: usize,
    ) -> Result<Run> {
        let setup = Setup {
            data: &job.data,
            copied: job.copied,
            limit: job.limit,
            throttle,
        };
        let mut stage = Stage::new(scene, kind, &setup)?;
        // In what order pages are read is the same for all who take part in a round.
        let measured = job.work.run(&mut stage, round as u64);
        stage.clear()?;
        let mut measured = measured?;
        measured.values.extend(stage.values()?);
        stage.end()?;
        Ok(Run { round, measured })
    }

    /// Seconds of the first pass.
    pub(crate) fn first_s(&self) -> f64 {
        self.measured.first_s
    }

    /// Seconds of all others.
    pub(crate) fn steady_s(&self) -> f64 {
        self.measured.steady_s
    }

    /// Seconds of all.
    pub(crate) fn total_s(&self) -> f64 {
        self.measured.first_s + self.measured.steady_s
    }
}

/// Gives each its turn in each round: forwards in the even rounds, backwards in the odd ones.
/// What fails is named on standard error and in `left_out`. Gives the runs of each.
///
/// # Errors
/// After Ctrl-C.
pub(crate) fn take_turns(
    scene: &Scene<'_>,
    job: &Job,
    throttle: Throttle,
    kinds: &[Kind],
    rounds: usize,
    left_out: &mut Vec<(String, String)>,
) -> Result<Vec<Vec<Run>>> {
    let mut runs: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let (kind, name, number) = (&kinds[at], &job.name, round + 1);
            eprintln!("{name}, {throttle}, round {number} of {rounds}: {kind}");
            match Run::new(scene, job, throttle, kind, round) {
                Ok(run) => runs[at].push(run),
                Err(error) => {
                    interrupt::check()?;
                    let what = format!("{name}, {throttle}, {kind}, round {number}");
                    eprintln!("{what}: left out, {error:#}");
                    left_out.push((what, format!("{error:#}")));
                }
            }
        }
    }
    Ok(runs)
}

/// The median of a value divided by a peer's in the same round; NaN where they share none.
pub(crate) fn ratio(own: &[Run], peer: &[Run], value: fn(&Run) -> f64) -> f64 {
    let pairs = own.iter().filter_map(|run| {
        let peer = peer.iter().find(|peer| peer.round == run.round)?;
        Some(value(run) / value(peer))
    });
    median(pairs.collect())
}

/// Checks that a process in a cage really gets no more of the disk than it should: a kernel may
/// take the limit and not keep it.
///
/// # Errors
/// Where it gets more.
pub(crate) fn check_throttle(scene: &Scene<'_>, throttle: Throttle) -> Result<()> {
    let Throttle::At { bytes, .. } = throttle else {
        return Ok(());
    };
    let data = corpus::get(scene.store, bytes)?;
    let setup = Setup {
        data: &data,
        copied: false,
        limit: None,
        throttle,
    };
    let stage = Stage::new(scene, &Kind::Bare, &setup)?;
    let mut hand = stage.hand(0)?;
    hand.order(&Order::Sequential { skip: 0 })?;
    let done: Done = hand.answer()?;
    drop(hand);
    stage.end()?;
    let read = bytes_in(&data.source())? as f64;
    // Twice as fast is more than what the kernel lets through at the start.
    ensure!(
        done.seconds > read / bytes as f64 / 2.0,
        "the kernel does not throttle this disk ({:.0} MB/s instead of {throttle}): use \
         --throttle none",
        read / 1e6 / done.seconds
    );
    Ok(())
}
