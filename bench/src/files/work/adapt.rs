//! A working set that grows and shrinks.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::job::{Job, LARGER_THAN_MEMORY, Measured, Part, Sample, Target};
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::files::setup::Setup;
use crate::load::Reply;
use crate::load::choice::Choice;
use crate::load::files::Request;

/// Working sets one after the other, in memory limits.
const PHASES: [f64; 4] = [0.5, 1.5, 2.0, 0.5];

const LARGEST: f64 = 2.0;

const PERIOD: Duration = Duration::from_millis(500);

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    let bytes = (config.limit as f64 * LARGEST) as u64;
    let data = corpus::get(config.store, bytes)?;
    let reads = config.scaled(bytes / 4096 / 2);
    let name = PHASES.map(|phase| phase.to_string()).join("-");
    Ok(vec![Job {
        target: Some(Target {
            part: Part::Total,
            ..LARGER_THAN_MEMORY
        }),
        ..Job::new(
            config,
            format!("adapt {name} x memory"),
            data,
            move |setup, round| run(setup, round, reads),
        )
    }])
}

fn run(setup: &mut Setup, round: u64, reads: u64) -> Result<Measured> {
    let mut worker = setup.worker(round)?;
    let limit = setup.limit.unwrap_or_default();
    let start = Instant::now();
    let setup = RefCell::new(setup);
    let mut measured = Measured::default();
    for (number, phase) in PHASES.into_iter().enumerate() {
        let series = &mut measured.series;
        let mut look = || -> Result<()> {
            let mut setup = setup.borrow_mut();
            if let Some(status) = setup.status()? {
                series.push(Sample {
                    seconds: start.elapsed().as_secs_f64(),
                    pool: status.pool_bytes,
                    used: setup.used()?,
                    working_set: (limit as f64 * phase) as u64,
                });
            }
            Ok(())
        };
        look()?;
        worker.send(&Request::Random {
            reads,
            share: phase / LARGEST,
            choice: Choice::Uniform,
        })?;
        let reply: Reply = worker.receive_meanwhile(Some(PERIOD), &mut look)?;
        look()?;
        if number == 0 {
            measured.first_s = reply.seconds;
        } else {
            measured.steady_s += reply.seconds;
        }
        measured.note(&format!("{phase} s"), reply.seconds);
    }
    Ok(measured)
}
