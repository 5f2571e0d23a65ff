//! Reads of pages anywhere, after one pass over all of them.

use anyhow::Result;

use super::job::{Job, Measured, Part, Peers, Target, Work};
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::files::setup::Setup;
use crate::load::Reply;
use crate::load::choice::Choice;
use crate::load::files::Request;

const FACTORS: [f64; 3] = [1.5, 2.0, 2.5];

/// The exponent of YCSB's requests (Cooper et al., SoCC 2010).
const THETA: f64 = 0.99;

/// The working set that just fits without us, in memory limits.
const FITTING: f64 = 0.8;

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

pub(super) fn uniform(config: &Config<'_>) -> Result<Vec<Job>> {
    larger(config, "random", Choice::Uniform)
}

pub(super) fn zipf(config: &Config<'_>) -> Result<Vec<Job>> {
    larger(config, "zipf", Choice::Zipf(THETA))
}

fn larger(config: &Config<'_>, name: &str, choice: Choice) -> Result<Vec<Job>> {
    let factors = if config.quick {
        &FACTORS[..1]
    } else {
        &FACTORS
    };
    factors
        .iter()
        .map(|factor| {
            let bytes = (config.limit as f64 * factor) as u64;
            let reads = Reads {
                choice,
                sequential: 0,
                // What is kept is only what was read more than once.
                warm: config.scaled(bytes / 4096 * 3),
                random: config.scaled(bytes / 4096 / 2),
            };
            let data = corpus::get(config.store, bytes)?;
            Ok(Job {
                peers: Peers::TmpfsAndZram,
                ..Job::new(config, format!("{name}, {factor} x memory"), data, reads)
            })
        })
        .collect()
}

/// The worst case: files that just fit without us, read in order and at random.
pub(super) fn fits(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = (config.limit as f64 * FITTING) as u64;
    let pages = bytes / 4096;
    let data = corpus::get(config.store, bytes)?;
    let job = |name: &str, sequential, random| Job {
        target: Some(Target {
            part: Part::Steady,
            throttled: 1.05,
            unthrottled: 1.05,
        }),
        ..Job::new(
            config,
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
        job("sequential", config.scaled(20), 0),
        job("random", 1, config.scaled(pages * 20)),
    ])
}

impl Work for Reads {
    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let mut worker = setup.worker(round)?;
        let mut request = |request: &Request| worker.call::<Reply>(request);
        let first = request(&Request::Sequential { skip: 0 })?;
        let mut steady_s = 0.0;
        for _ in 0..self.sequential {
            steady_s += request(&Request::Sequential { skip: 0 })?.seconds;
        }
        let random = |reads| Request::Random {
            reads,
            share: 1.0,
            choice: self.choice,
        };
        let mut values = Vec::new();
        if self.warm > 0 {
            setup.cgroup.throttle(false)?;
            values.push(("warm-up s".to_owned(), request(&random(self.warm))?.seconds));
            setup.cgroup.throttle(true)?;
        }
        setup.mark()?;
        if self.random > 0 {
            let reply = request(&random(self.random))?;
            steady_s += reply.seconds;
            let us = |quantile| reply.times.quantile(quantile) / 1000.0;
            values.push(("read p50 us".to_owned(), us(0.5)));
            values.push(("p99 us".to_owned(), us(0.99)));
        }
        Ok(Measured {
            first_s: first.seconds,
            steady_s,
            values,
            series: Vec::new(),
        })
    }
}
