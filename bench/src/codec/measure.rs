//! What a contender does with a source.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compcache_engine::page::PAGE_SIZE;
use rustix::time::{ClockId, clock_gettime};

use super::contender::Contender;
use crate::capture::Source;
use crate::histogram::Histogram;
use crate::interrupt;
use crate::stat::mean;

/// A chunk longer than this is incompressible: stored as a whole page.
const LIMIT: usize = PAGE_SIZE * 3 / 4;

/// What one contender did with one source.
pub(super) struct Run {
    /// Lengths of the chunks, whole pages where there is none.
    sizes: Vec<usize>,
    /// Compressing all pages, and restoring all that have a chunk.
    pub(super) ways: [Way; 2],
}

/// One direction.
pub(super) struct Way {
    /// The pages that went this way.
    pages: usize,
    /// For each round the time for all of them.
    times: Vec<Duration>,
    /// The time of each, in one round more.
    pub(super) each: Histogram,
}

/// Compressing: the first of [`Run::ways`].
pub(super) const COMPRESS: usize = 0;
/// Decompressing: the second of them.
pub(super) const DECOMPRESS: usize = 1;

impl Run {
    /// Bytes of chunks for each byte of pages.
    pub(super) fn ratio(&self) -> f64 {
        let bytes: usize = self.sizes.iter().sum();
        bytes as f64 / (self.sizes.len() * PAGE_SIZE) as f64
    }

    /// Share of pages whose chunk passes 3072 bytes.
    pub(super) fn over_limit(&self) -> f64 {
        mean(
            self.sizes
                .iter()
                .map(|&size| f64::from(u8::from(size > LIMIT))),
        )
    }
}

impl Way {
    fn new(pages: usize) -> Way {
        Way {
            pages,
            times: Vec::new(),
            each: Histogram::new(),
        }
    }

    /// MB/s in each round.
    pub(super) fn speeds(&self) -> Vec<f64> {
        let bytes = (self.pages * PAGE_SIZE) as f64;
        let speed = |time: &Duration| bytes / 1e6 / time.as_secs_f64();
        self.times.iter().map(speed).collect()
    }
}

/// Lets every contender do every page of a source, each in its turn once a round.
///
/// # Errors
/// Where a codec does not give a page back, or after Ctrl-C.
pub(super) fn measure(
    source: &Source,
    contenders: &mut [Box<dyn Contender>],
    rounds: usize,
) -> Result<Vec<Run>> {
    let pages = &source.pages;
    let mut runs = Vec::new();
    // For each contender the pages that it compresses, and those that it restores.
    let mut places: Vec<[Vec<usize>; 2]> = Vec::new();
    for contender in contenders.iter_mut() {
        interrupt::check()?;
        let sizes = contender
            .load(pages)
            .with_context(|| format!("{} with {}", contender.name(), source.name))?;
        let all: Vec<usize> = (0..sizes.len()).collect();
        let with_chunk: Vec<usize> = all
            .iter()
            .copied()
            .filter(|&at| sizes[at] < PAGE_SIZE)
            .collect();
        runs.push(Run {
            sizes,
            ways: [Way::new(all.len()), Way::new(with_chunk.len())],
        });
        places.push([all, with_chunk]);
    }
    for round in 0..=rounds {
        for way in [COMPRESS, DECOMPRESS] {
            for ((run, places), contender) in runs.iter_mut().zip(&places).zip(&mut *contenders) {
                interrupt::check()?;
                let mut one = |at: usize| match way {
                    COMPRESS => contender.compress(pages, at),
                    _ => contender.decompress(at),
                };
                let done = &mut run.ways[way];
                if round < rounds {
                    let start = own_time();
                    for &at in &places[way] {
                        one(at)?;
                    }
                    done.times.push(own_time() - start);
                    continue;
                }
                // One more, in which each page has its time.
                for &at in &places[way] {
                    let start = Instant::now();
                    one(at)?;
                    done.each.add(start.elapsed().as_nanos() as u64);
                }
            }
        }
    }
    Ok(runs)
}

/// The processor time of this thread, the kernel's for it included: what others run meanwhile
/// does not count.
fn own_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(now.tv_sec as u64) + Duration::from_nanos(now.tv_nsec as u64)
}
