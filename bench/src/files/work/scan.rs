//! A set in use, and a scan that must not push it out.

use std::thread;

use anyhow::{Result, anyhow};

use super::{Job, Measured, Setting, Work};
use crate::files::data::corpus::{self, FILE_BYTES, PAGES_OF_FILE};
use crate::files::orders::{Choice, Done, Order};
use crate::files::stage::Stage;
use crate::worker::Worker;

/// Reads of the hot set between two looks whether the scan is over.
const BATCH: u64 = 500;

/// A hot set of which pages are read at random, and files that are read once meanwhile.
#[derive(Debug)]
struct Scan {
    /// Files of the hot set.
    hot: usize,
    /// Files that are read once.
    scanned: usize,
    /// Reads of the hot set to warm up, and again before the scan.
    reads: u64,
}

/// The job.
///
/// # Errors
/// Where the files cannot be made.
pub(super) fn jobs(setting: &Setting<'_>) -> Result<Vec<Job>> {
    // More than all memory, so that reads reach us, and compressed less than our cache holds.
    let hot = (setting.limit / 4 * 5).div_ceil(FILE_BYTES);
    let times = if setting.quick { 1 } else { 10 };
    let scanned = (setting.cache * times).div_ceil(FILE_BYTES);
    let work = Scan {
        hot: hot as usize,
        scanned: scanned as usize,
        reads: setting.scaled(hot * PAGES_OF_FILE as u64 * 3),
    };
    let data = corpus::get(setting.store, (hot + scanned) * FILE_BYTES)?;
    Ok(vec![Job {
        target: None,
        throttled: false,
        peers: super::Peers::None,
        ..Job::new(setting, format!("scan of {times} x cache"), data, work)
    }])
}

impl Scan {
    fn read_hot(&self, hand: &mut Worker, reads: u64) -> Result<f64> {
        hand.order(&Order::Random {
            reads,
            share: self.hot as f64 / (self.hot + self.scanned) as f64,
            choice: Choice::Uniform,
        })?;
        Ok(hand.answer::<Done>()?.seconds)
    }
}

/// Pages that were asked of us, and of these the ones that we had.
#[derive(Clone, Copy)]
struct Asked {
    hits: u64,
    all: u64,
}

fn asked(stage: &mut Stage) -> Result<Option<Asked>> {
    Ok(stage.status()?.map(|status| Asked {
        hits: status.hits,
        all: status.hits + status.misses,
    }))
}

/// The share of hits among what was asked between two looks, without the `others` that missed.
fn hit_rate(before: Option<Asked>, after: Option<Asked>, others: u64) -> f64 {
    let (Some(before), Some(after)) = (before, after) else {
        return f64::NAN;
    };
    let all = (after.all - before.all).saturating_sub(others);
    (after.hits - before.hits) as f64 / all as f64
}

impl Work for Scan {
    fn run(&self, stage: &mut Stage, round: u64) -> Result<Measured> {
        let mut hand = stage.hand(round)?;
        let first_s = self.read_hot(&mut hand, self.reads)?;
        let warm = asked(stage)?;
        let before_s = self.read_hot(&mut hand, self.reads)?;
        let before = asked(stage)?;

        let mut scanner = stage.hand(round)?;
        scanner.order(&Order::Sequential { skip: self.hot })?;
        let (scan_s, reads, during_s) = thread::scope(|scope| {
            let scan = scope.spawn(move || scanner.answer::<Done>());
            let (mut reads, mut seconds) = (0, 0.0);
            while !scan.is_finished() {
                seconds += self.read_hot(&mut hand, BATCH)?;
                reads += BATCH;
            }
            let scan = scan
                .join()
                .map_err(|_| anyhow!("the scan's thread panicked"))??;
            Ok::<_, anyhow::Error>((scan.seconds, reads, seconds))
        })?;
        let after = asked(stage)?;

        let scanned = (self.scanned * PAGES_OF_FILE) as u64;
        let (rate, rate_during) = (hit_rate(warm, before, 0), hit_rate(before, after, scanned));
        let mut values = vec![
            ("reads/s before".to_owned(), self.reads as f64 / before_s),
            ("reads/s during".to_owned(), reads as f64 / during_s),
        ];
        if rate.is_finite() {
            values.extend([
                ("hits before".to_owned(), rate),
                ("hits during".to_owned(), rate_during),
                ("kept".to_owned(), rate_during / rate),
            ]);
        }
        Ok(Measured {
            first_s,
            steady_s: scan_s,
            values,
            series: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_of_the_scan_do_not_count() {
        let at = |hits, all| Some(Asked { hits, all });
        assert_eq!(hit_rate(at(10, 20), at(100, 220), 100), 0.9);
        assert!(hit_rate(None, at(1, 1), 0).is_nan());
    }
}
