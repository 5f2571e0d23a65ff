//! Reads of pages anywhere, after one pass over all of them.

use anyhow::Result;

use super::{Job, Measured, Part, Peers, Setting, Target, Work};
use crate::files::data::corpus;
use crate::files::orders::{Choice, Done, Order};
use crate::files::stage::Stage;
use crate::histogram::Histogram;

/// Working sets, in memory limits.
const FACTORS: [f64; 3] = [1.5, 2.0, 2.5];

/// The exponent of YCSB's requests (Cooper et al., SoCC 2010).
const THETA: f64 = 0.99;

/// The working set that just fits without us, in memory limits.
const FITTING: f64 = 0.8;

/// Reads of pages.
#[derive(Debug)]
struct Reads {
    choice: Choice,
    /// Passes over all pages, after the first one.
    sequential: u64,
    /// Single pages read after that, to warm up: the disk is not throttled, and it does not count.
    warm: u64,
    /// Single pages read after that.
    random: u64,
}

/// Uniform reads.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn uniform(setting: &Setting<'_>) -> Result<Vec<Job>> {
    larger(setting, "random", Choice::Uniform)
}

/// Reads by Zipf's law.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn zipf(setting: &Setting<'_>) -> Result<Vec<Job>> {
    larger(setting, "zipf", Choice::Zipf(THETA))
}

fn larger(setting: &Setting<'_>, name: &str, choice: Choice) -> Result<Vec<Job>> {
    let factors = if setting.quick {
        &FACTORS[..1]
    } else {
        &FACTORS
    };
    factors
        .iter()
        .map(|factor| {
            let bytes = (setting.limit as f64 * factor) as u64;
            let reads = Reads {
                choice,
                sequential: 0,
                // What is kept is only what was read more than once.
                warm: setting.scaled(bytes / 4096 * 3),
                random: setting.scaled(bytes / 4096 / 2),
            };
            let data = corpus::get(setting.store, bytes)?;
            Ok(Job {
                peers: Peers::TmpfsAndZram,
                ..Job::new(setting, format!("{name}, {factor} x memory"), data, reads)
            })
        })
        .collect()
}

/// The worst case: files that just fit without us, read in order and at random.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn fits(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let bytes = (setting.limit as f64 * FITTING) as u64;
    let pages = bytes / 4096;
    let data = corpus::get(setting.store, bytes)?;
    let job = |name: &str, sequential, random| Job {
        target: Some(Target {
            part: Part::Steady,
            throttled: 1.05,
            unthrottled: 1.05,
        }),
        ..Job::new(
            setting,
            format!("fits, {name}"),
            data.clone(),
            Reads {
                choice: Choice::Uniform,
                sequential,
                warm: 0,
                random,
            },
        )
    };
    Ok(vec![
        job("sequential", setting.scaled(20), 0),
        job("random", 1, setting.scaled(pages * 20)),
    ])
}

impl Work for Reads {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let mut hand = stage.hand(round)?;
        let mut order = |order: &Order| -> Result<Done> {
            hand.order(order)?;
            hand.answer()
        };
        let first = order(&Order::Sequential { skip: 0 })?;
        let mut steady_s = 0.0;
        for _ in 0..self.sequential {
            steady_s += order(&Order::Sequential { skip: 0 })?.seconds;
        }
        let random = |reads| Order::Random {
            reads,
            share: 1.0,
            choice: self.choice,
        };
        let mut values = Vec::new();
        if self.warm > 0 {
            stage.throttle(false)?;
            values.push(("warm-up s".to_owned(), order(&random(self.warm))?.seconds));
            stage.throttle(true)?;
        }
        stage.mark()?;
        if self.random > 0 {
            let done = order(&random(self.random))?;
            steady_s += done.seconds;
            let mut times = Histogram::new();
            times.merge(&done.times);
            values.extend(
                [("read p50 us", 0.5), ("p99 us", 0.99)]
                    .map(|(name, quantile)| (name.to_owned(), times.quantile(quantile) / 1000.0)),
            );
        }
        Ok(Measured {
            first_s: first.seconds,
            steady_s,
            values,
            series: Vec::new(),
        })
    }
}
