//! A working set that grows and shrinks.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Job, LARGER_THAN_MEMORY, Measured, Part, Sample, Setting, Target, Work};
use crate::files::data::corpus;
use crate::files::orders::{Choice, Done, Order};
use crate::files::stage::Stage;

/// Working sets one after the other, in memory limits.
const PHASES: [f64; 4] = [0.5, 1.5, 2.0, 0.5];

/// The largest of them.
const LARGEST: f64 = 2.0;

/// How often memory is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Uniform reads of parts of all files.
#[derive(Debug)]
struct Adapt {
    /// In each phase.
    reads: u64,
}

/// The job.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    let bytes = (setting.limit as f64 * LARGEST) as u64;
    let data = corpus::get(setting.store, bytes)?;
    let work = Adapt {
        reads: setting.scaled(bytes / 4096 / 2),
    };
    let name = PHASES.map(|phase| phase.to_string()).join("-");
    Ok(vec![Job {
        target: Some(Target {
            part: Part::Total,
            ..LARGER_THAN_MEMORY
        }),
        ..Job::new(setting, format!("adapt {name} x memory"), data, work)
    }])
}

impl Work for Adapt {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let mut hand = stage.hand(round)?;
        let limit = stage.limit().unwrap_or_default();
        let start = Instant::now();
        let stage = RefCell::new(stage);
        let mut measured = Measured::default();
        for (number, phase) in PHASES.into_iter().enumerate() {
            let series = &mut measured.series;
            let mut look = || -> Result<()> {
                let mut stage = stage.borrow_mut();
                if let Some(status) = stage.status()? {
                    series.push(Sample {
                        seconds: start.elapsed().as_secs_f64(),
                        pool: status.pool_bytes,
                        used: stage.used()?,
                        working_set: (limit as f64 * phase) as u64,
                    });
                }
                Ok(())
            };
            look()?;
            hand.order(&Order::Random {
                reads: self.reads,
                share: phase / LARGEST,
                choice: Choice::Uniform,
            })?;
            let done: Done = hand.answer_meanwhile(Some(PERIOD), &mut look)?;
            look()?;
            if number == 0 {
                measured.first_s = done.seconds;
            } else {
                measured.steady_s += done.seconds;
            }
            measured.values.push((format!("{phase} s"), done.seconds));
        }
        Ok(measured)
    }
}
