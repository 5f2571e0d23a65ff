//! Reads of pages, after one pass over all of them.

use anyhow::Result;

use super::job::{Job, Measured, Peers, Target};
use crate::files::config::Config;
use crate::files::data::{DataSet, corpus};
use crate::files::setup::Setup;
use crate::load::Reply;
use crate::load::choice::Choice;
use crate::load::files::Request;

/// Files that are larger than memory, in memory limits.
const FACTORS: [f64; 3] = [1.5, 2.0, 2.5];

/// The exponent of YCSB's requests (Cooper et al., SoCC 2010).
const THETA: f64 = 0.99;

/// The working set that just fits without us, in memory limits.
const FITTING: f64 = 0.8;

/// What is done after the first pass.
enum Step {
    Read(Request),
    /// Reads that do not count.
    ReadUncounted(Request),
    /// Reads that do not count, with a disk that is not throttled.
    WarmUp(Request),
    /// What our mount did before is not worth knowing.
    Mark,
}

pub(super) fn uniform(config: &Config<'_>) -> Result<Vec<Job>> {
    larger(config, "random", Choice::Uniform)
}

pub(super) fn zipf(config: &Config<'_>) -> Result<Vec<Job>> {
    larger(config, "zipf", Choice::Zipf(THETA))
}

fn larger(config: &Config<'_>, name: &str, choice: Choice) -> Result<Vec<Job>> {
    let larger = |factor: &f64| {
        let bytes = (config.limit as f64 * factor) as u64;
        let read = |reads| random(choice, config.scaled(reads));
        let steps = vec![
            // What is kept is only what was read more than once.
            Step::WarmUp(read(bytes / 4096 * 3)),
            Step::Mark,
            Step::Read(read(bytes / 4096 / 2)),
        ];
        let (name, data) = (
            format!("{name}, {factor} x memory"),
            corpus::get(config.store, bytes)?,
        );
        Ok(Job {
            peers: Peers::TmpfsAndZram,
            ..job(config, name, &data, steps)
        })
    };
    let factors = config.common.choose(&FACTORS[..1], &FACTORS);
    factors.iter().map(larger).collect()
}

/// The worst case: files that just fit without us, read in order and at random.
pub(super) fn fits(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = (config.limit as f64 * FITTING) as u64;
    let data = corpus::get(config.store, bytes)?;
    let passes = |number| (0..number).map(|_| Step::Read(Request::PASS));
    let reads = random(Choice::Uniform, config.scaled(bytes / 4096 * 20));
    let in_order = passes(config.scaled(20)).chain([Step::Mark]);
    let at_random = passes(1).chain([Step::Mark, Step::Read(reads)]);
    let job = |name: &str, steps| Job {
        target: Some(Target::steady(1.05)),
        ..job(config, format!("fits, {name}"), &data, steps)
    };
    Ok(vec![
        job("sequential", in_order.collect()),
        job("random", at_random.collect()),
    ])
}

/// Reads of what the kernel's page cache holds: they should not reach us.
pub(super) fn hot(config: &Config<'_>) -> Result<Vec<Job>> {
    let data = corpus::get(config.store, config.limit / 6)?;
    let read = |reads, bytes| Request::Hot {
        reads: config.scaled(reads),
        bytes,
    };
    let touches = config.scaled(20_000_000);
    let job = |(name, request)| {
        // Whatever was dropped behind the first pass comes back.
        let steps = vec![Step::ReadUncounted(Request::PASS), Step::Read(request)];
        Job {
            target: Some(Target::steady(1.02)),
            throttled: false,
            peers: Peers::None,
            ..job(config, format!("hot, {name}"), &data, steps)
        }
    };
    let kinds = [
        ("pread 4K", read(2_000_000, 4 << 10)),
        ("pread 64K", read(200_000, 64 << 10)),
        ("mmap", Request::Mapped { touches }),
    ];
    Ok(kinds.map(job).into())
}

fn random(choice: Choice, reads: u64) -> Request {
    Request::Random {
        reads,
        share: 1.0,
        choice,
    }
}

fn job(config: &Config<'_>, name: String, data: &DataSet, steps: Vec<Step>) -> Job {
    Job::new(config, name, data.clone(), move |setup, round| {
        run(setup, round, &steps)
    })
}

fn run(setup: &mut Setup, round: u64, steps: &[Step]) -> Result<Measured> {
    let mut worker = setup.worker(round)?;
    let mut request = |request: &Request| worker.call::<Reply>(request);
    let mut measured = Measured {
        first_s: request(&Request::PASS)?.seconds,
        ..Measured::default()
    };
    for step in steps {
        match step {
            Step::Read(what) => {
                let reply = request(what)?;
                measured.steady_s += reply.seconds;
                if reply.times.count() > 0 {
                    let us = |quantile| reply.times.quantile(quantile) / 1000.0;
                    measured.note("read p50 us", us(0.5));
                    measured.note("p99 us", us(0.99));
                }
            }
            Step::ReadUncounted(what) => drop(request(what)?),
            Step::WarmUp(what) => {
                let reply = setup.unthrottled(|| request(what))?;
                measured.note("warm-up s", reply.seconds);
            }
            Step::Mark => setup.mark()?,
        }
    }
    Ok(measured)
}
