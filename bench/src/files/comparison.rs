//! Places for files that are compared under the same workload.

use anyhow::{Result, ensure};

use super::config::Config;
use super::data::corpus;
use super::place::Backend;
use super::setup::{Conditions, Setup};
use super::throttle::Throttle;
use super::work::job::{Job, Measured};
use crate::directory::bytes_in;
use crate::load::Reply;
use crate::load::files::Request;
use crate::rounds::{self, Comparison, Failure};

/// Does a job once in each place in each round. What fails is named on standard error and left out.
pub(crate) fn compare(
    config: &Config<'_>,
    job: &Job,
    throttle: Throttle,
    backends: &mut [Backend],
    rounds: usize,
) -> Result<Comparison<Measured>> {
    let title = format!("{}, {throttle}", job.name);
    let conditions = Conditions {
        data: &job.data,
        copied: job.copied,
        limit: job.limit,
        throttle,
    };
    let run = |backend: &mut Backend, round| {
        let mut setup = Setup::new(config, backend, &conditions)?;
        // In what order pages are read is the same for all in a round.
        let measured = (job.work)(&mut setup, round as u64);
        setup.clear()?;
        let mut measured = measured?;
        measured.values.extend(setup.values()?);
        setup.end()?;
        Ok(measured)
    };
    rounds::alternate(Some(&title), backends, rounds, Failure::Skips, run)
}

/// Checks that a process in a cgroup really gets no more of the disk than it should: a kernel may
/// take the limit and not keep it.
pub(crate) fn check_throttle(config: &Config<'_>, throttle: Throttle) -> Result<()> {
    let Throttle::At { bytes, .. } = throttle else {
        return Ok(());
    };
    let data = corpus::get(config.store, bytes)?;
    let conditions = Conditions {
        data: &data,
        copied: false,
        limit: None,
        throttle,
    };
    let setup = Setup::new(config, &Backend::Bare, &conditions)?;
    let reply: Reply = setup.worker(0)?.call(&Request::PASS)?;
    setup.end()?;
    let read = bytes_in(&data.source()) as f64;
    // Twice as fast is more than what the kernel lets through at the start.
    ensure!(
        reply.seconds > read / bytes as f64 / 2.0,
        "the kernel does not throttle this disk ({:.0} MB/s instead of {throttle}): use \
         --throttle none",
        read / 1e6 / reply.seconds
    );
    Ok(())
}
