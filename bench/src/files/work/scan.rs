//! A set in use, and a scan that must not push it out.

use std::thread;

use anyhow::{Result, anyhow};

use super::job::{Job, Measured, Peers};
use crate::file_set::{FILE_BYTES, PAGES_OF_FILE};
use crate::files::config::Config;
use crate::files::data::corpus;
use crate::files::setup::Setup;
use crate::load::Reply;
use crate::load::choice::Choice;
use crate::load::files::Request;
use crate::worker::Worker;

/// Reads of the hot set between two looks whether the scan is over.
const BATCH: u64 = 500;

/// A hot set of which pages are read at random, and files that are read once meanwhile.
struct Scan {
    hot: usize,
    /// Files that are read once.
    scanned: usize,
    /// Reads of the hot set to warm up, and again before the scan.
    reads: u64,
}

pub(super) fn jobs(config: &Config<'_>) -> Result<Vec<Job>> {
    // More than all memory, so that reads reach us, and compressed less than our cache holds.
    let hot = (config.limit / 4 * 5).div_ceil(FILE_BYTES);
    let times = config.common.choose(1, 10);
    let scanned = (config.cache * times).div_ceil(FILE_BYTES);
    let scan = Scan {
        hot: hot as usize,
        scanned: scanned as usize,
        reads: config.scaled(hot * PAGES_OF_FILE as u64 * 3),
    };
    let work = move |setup: &mut Setup, round| scan.run(setup, round);
    let data = corpus::get(config.store, (hot + scanned) * FILE_BYTES)?;
    Ok(vec![Job {
        target: None,
        throttled: false,
        peers: Peers::None,
        ..Job::new(config, format!("scan of {times} x cache"), data, work)
    }])
}

impl Scan {
    fn read_hot(&self, worker: &mut Worker, reads: u64) -> Result<f64> {
        let request = Request::Random {
            reads,
            share: self.hot as f64 / (self.hot + self.scanned) as f64,
            choice: Choice::Uniform,
        };
        Ok(worker.call::<Reply>(&request)?.seconds)
    }

    fn run(&self, setup: &mut Setup, round: u64) -> Result<Measured> {
        let mut worker = setup.worker(round)?;
        let first_s = self.read_hot(&mut worker, self.reads)?;
        let warm = lookups(setup)?;
        let before_s = self.read_hot(&mut worker, self.reads)?;
        let before = lookups(setup)?;

        let mut scanner = setup.worker(round)?;
        scanner.send(&Request::Sequential { skip: self.hot })?;
        let (scan_s, reads, during_s) = thread::scope(|scope| {
            let scan = scope.spawn(move || scanner.receive::<Reply>());
            let (mut reads, mut seconds) = (0, 0.0);
            while !scan.is_finished() {
                seconds += self.read_hot(&mut worker, BATCH)?;
                reads += BATCH;
            }
            let scan = scan
                .join()
                .map_err(|_| anyhow!("the scan's thread panicked"))??;
            Ok::<_, anyhow::Error>((scan.seconds, reads, seconds))
        })?;
        let after = lookups(setup)?;

        let scanned = (self.scanned * PAGES_OF_FILE) as u64;
        let (rate, rate_during) = (hit_rate(warm, before, 0), hit_rate(before, after, scanned));
        let mut measured = Measured {
            first_s,
            steady_s: scan_s,
            ..Measured::default()
        };
        measured.note("reads/s before", self.reads as f64 / before_s);
        measured.note("reads/s during", reads as f64 / during_s);
        if rate.is_finite() {
            measured.note("hits before", rate);
            measured.note("hits during", rate_during);
            measured.note("kept", rate_during / rate);
        }
        Ok(measured)
    }
}

/// Pages that were read through us, and of these the ones that we had.
#[derive(Clone, Copy)]
struct Lookups {
    hits: u64,
    all: u64,
}

fn lookups(setup: &mut Setup) -> Result<Option<Lookups>> {
    Ok(setup.status()?.map(|status| Lookups {
        hits: status.counts.hits,
        all: status.counts.hits + status.counts.misses,
    }))
}

/// The share of hits among what was read between two looks, without the `others` that missed.
fn hit_rate(before: Option<Lookups>, after: Option<Lookups>, others: u64) -> f64 {
    let (Some(before), Some(after)) = (before, after) else {
        return f64::NAN;
    };
    let all = (after.all - before.all).saturating_sub(others);
    (after.hits - before.hits) as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_of_the_scan_do_not_count() {
        let at = |hits, all| Some(Lookups { hits, all });
        assert_eq!(hit_rate(at(10, 20), at(100, 220), 100), 0.9);
        assert!(hit_rate(None, at(1, 1), 0).is_nan());
    }
}
