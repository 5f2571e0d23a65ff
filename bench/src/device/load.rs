//! Random reads and writes of one device.

use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use compcache_engine::Page;

use crate::direct::{Aligned, Disk};
use crate::histogram::Histogram;
use crate::interrupt;
use crate::random::Random;

/// How often a signal is looked for, in requests.
const LOOK_EVERY: usize = 256;

/// What came of a measurement.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Whether pages were written; else they were read.
    pub(crate) write: bool,
    /// Requests under way at once.
    pub(crate) depth: usize,
    /// Requests a second.
    pub(crate) iops: f64,
    /// The time of each.
    pub(crate) latency: Histogram,
}

/// What one thread did.
struct Work {
    started: Instant,
    ended: Instant,
    latency: Histogram,
}

/// A device full of known pages.
pub(crate) struct Load<'a> {
    disk: Disk,
    samples: &'a [Page],
    pages: u64,
    seed: u64,
}

impl<'a> Load<'a> {
    /// Writes every page of a device: whatever it held is lost.
    ///
    /// # Errors
    /// Where the device fails, or after Ctrl-C.
    pub(crate) fn new(node: &Path, samples: &'a [Page], pages: u64, seed: u64) -> Result<Self> {
        let load = Load {
            disk: Disk::open(node)?,
            samples,
            pages,
            seed,
        };
        let mut random = Random::new(seed);
        let mut page = Aligned::new();
        for index in 0..pages {
            if index.is_multiple_of(LOOK_EVERY as u64) {
                interrupt::check()?;
            }
            load.write(index, &mut page, &mut random)?;
        }
        Ok(load)
    }

    /// Does `requests` requests at random places, `depth` at once.
    ///
    /// # Errors
    /// Where the device fails or gives back another page than the one that was asked for, or
    /// after Ctrl-C.
    pub(crate) fn measure(
        &mut self,
        write: bool,
        depth: usize,
        requests: usize,
    ) -> Result<Measured> {
        self.seed += 1000;
        let each = requests.div_ceil(depth);
        let start_line = Barrier::new(depth);
        let shared = &*self;
        let all: Vec<Result<Work>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..depth)
                .map(|number| {
                    let random = Random::new(shared.seed + number as u64);
                    let start_line = &start_line;
                    scope.spawn(move || {
                        start_line.wait();
                        shared.work(write, each, random)
                    })
                })
                .collect();
            let ended = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => Err(anyhow!("a thread panicked")),
            });
            ended.collect()
        });
        let all = all.into_iter().collect::<Result<Vec<Work>>>()?;
        let started = all.iter().map(|work| work.started).min();
        let ended = all.iter().map(|work| work.ended).max();
        let (Some(started), Some(ended)) = (started, ended) else {
            bail!("no thread worked");
        };
        let mut latency = Histogram::new();
        for work in &all {
            latency.merge(&work.latency.sparse());
        }
        Ok(Measured {
            write,
            depth,
            iops: (each * depth) as f64 / (ended - started).as_secs_f64(),
            latency,
        })
    }

    fn work(&self, write: bool, requests: usize, mut random: Random) -> Result<Work> {
        let started = Instant::now();
        let mut latency = Histogram::new();
        let mut page = Aligned::new();
        for number in 0..requests {
            if number % LOOK_EVERY == 0 {
                interrupt::check()?;
            }
            let index = random.below(self.pages);
            let start = Instant::now();
            if write {
                self.write(index, &mut page, &mut random)?;
            } else {
                self.disk.read(index, &mut page)?;
            }
            latency.add(start.elapsed().as_nanos() as u64);
            ensure!(
                page.0[..8] == index.to_ne_bytes(),
                "page {index} has come back wrong"
            );
        }
        Ok(Work {
            started,
            ended: Instant::now(),
            latency,
        })
    }

    /// Writes any of the samples as page `index`, with the index in front.
    fn write(&self, index: u64, page: &mut Aligned, random: &mut Random) -> Result<()> {
        page.0 = self.samples[random.index(self.samples.len())];
        page.0[..8].copy_from_slice(&index.to_ne_bytes());
        self.disk.write(index, page)
    }
}
