//! What a contender does with a source.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compcache_engine::page::{PAGE_SIZE, Page};
use rustix::time::{ClockId, clock_gettime};

use super::contender::Contender;
use crate::capture::Source;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::rounds::{self, Failure, Runs};
use crate::stat::mean;

/// A chunk longer than this is incompressible: stored as a whole page.
const LIMIT: usize = PAGE_SIZE * 3 / 4;

/// One direction, and its place in what is measured of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Compress = 0,
    Decompress = 1,
}

const WAYS: [Way; 2] = [Way::Compress, Way::Decompress];

pub(super) struct Measured {
    /// Lengths of the chunks, whole pages if there is none.
    sizes: Vec<usize>,
    /// MB/s each [`Way`]: of all pages, and of all that have a chunk.
    pub(super) speeds: Runs<[f64; 2]>,
    /// The time of each page each way, in one round more.
    pub(super) times: [Histogram; 2],
}

impl Measured {
    /// Bytes of chunks for each byte of pages.
    pub(super) fn ratio(&self) -> f64 {
        let bytes: usize = self.sizes.iter().sum();
        bytes as f64 / (self.sizes.len() * PAGE_SIZE) as f64
    }

    /// Share of pages whose chunk passes 3072 bytes.
    pub(super) fn over_limit(&self) -> f64 {
        mean(self.sizes.iter().map(|&size| f64::from(size > LIMIT)))
    }
}

struct Loaded<'a> {
    contender: &'a mut Box<dyn Contender>,
    sizes: Vec<usize>,
    times: [Histogram; 2],
}

impl fmt::Display for Loaded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.contender)
    }
}

impl Loaded<'_> {
    /// Does every page each way, and gives the speeds; or times each page.
    fn run(&mut self, pages: &[Page], each: bool) -> Result<[f64; 2]> {
        let mut speeds = [f64::NAN; 2];
        for way in WAYS {
            let contender = &mut *self.contender;
            let mut one = |at: usize| match way {
                Way::Compress => contender.compress(pages, at),
                Way::Decompress => contender.decompress(at),
            };
            let has_chunk = |&at: &usize| way == Way::Compress || self.sizes[at] < PAGE_SIZE;
            let wanted: Vec<usize> = (0..self.sizes.len()).filter(has_chunk).collect();
            if each {
                for at in wanted {
                    let start = Instant::now();
                    one(at)?;
                    self.times[way as usize].add(start.elapsed().as_nanos() as u64);
                }
            } else {
                let start = cpu_time();
                wanted.iter().try_for_each(|&at| one(at))?;
                let seconds = (cpu_time() - start).as_secs_f64();
                speeds[way as usize] = (wanted.len() * PAGE_SIZE) as f64 / 1e6 / seconds;
            }
        }
        Ok(speeds)
    }
}

/// Lets every contender do every page of a source once a round.
pub(super) fn measure(
    source: &Source,
    contenders: &mut [Box<dyn Contender>],
    rounds: usize,
) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for contender in contenders {
        interrupt::check()?;
        let sizes = contender.load(&source.pages);
        let sizes = sizes.with_context(|| format!("{contender} with {}", source.name))?;
        all.push(Loaded {
            contender,
            sizes,
            times: [Histogram::new(), Histogram::new()],
        });
    }
    let speeds = |of: &mut Loaded<'_>, _| of.run(&source.pages, false);
    let speeds = rounds::alternate(None, &mut all, rounds, Failure::Ends, speeds)?.runs;
    let times = |of: &mut Loaded<'_>, _| of.run(&source.pages, true);
    rounds::alternate(None, &mut all, 1, Failure::Ends, times)?;
    let measured = all.into_iter().zip(speeds);
    Ok(measured
        .map(|(loaded, speeds)| Measured {
            sizes: loaded.sizes,
            speeds,
            times: loaded.times,
        })
        .collect())
}

/// The processor time of this thread, the kernel's for it included: what others run meanwhile
/// does not count.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(now.tv_sec as u64) + Duration::from_nanos(now.tv_nsec as u64)
}
