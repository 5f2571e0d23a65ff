//! Memory that is swapped: its pages are filled and touched.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use compcache_engine::Page;
use compcache_random::Random;
use fs_err::File;
use serde::{Deserialize, Serialize};

use super::choice::{Choice, Chooser};
use super::stamp;
use super::work::Load;
use crate::histogram::Histogram;
use crate::mapping::Mapping;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Each is written, in order.
    Fill,
    /// Each is read, checked and changed, in order.
    Sweep,
    /// As many as there are, each any of all, are read, checked and changed.
    Uniform,
    /// The same, four of five in the first fifth.
    Skewed,
    /// Each is compared byte for byte, in order.
    Verify,
}

impl Phase {
    /// All, in order.
    pub(crate) const ALL: [Phase; 5] = {
        use Phase::*;
        [Fill, Sweep, Uniform, Skewed, Verify]
    };

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// A file of pages to fill memory with
    #[arg(long)]
    samples: PathBuf,
    /// The number of pages to touch
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pages: u64,
}

pub(super) struct Memory {
    samples: Mapping,
    region: Mapping,
    /// How often each page was changed.
    versions: Vec<u32>,
    random: Random,
}

impl Memory {
    pub(super) fn new(args: &MemoryArgs, seed: u64) -> Result<Memory> {
        let samples = Mapping::of_file(File::open(&args.samples)?.file())
            .with_context(|| format!("cannot map {}", args.samples.display()))?;
        ensure!(!samples.pages().is_empty(), "no samples");
        let count = usize::try_from(args.pages)?;
        Ok(Memory {
            samples,
            region: Mapping::fresh(count).context("no address space for the pages")?,
            versions: vec![0; count],
            random: Random::new(seed),
        })
    }

    fn sample(&self, at: usize) -> &Page {
        let samples = self.samples.pages();
        &samples[at % samples.len()]
    }

    fn fill(&mut self, at: usize) {
        self.region.pages_mut()[at] = *self.sample(at);
        stamp::write(&mut self.region.pages_mut()[at], at, 0);
    }

    fn first_touch(&self, at: usize, times: &mut Histogram) {
        let page = &self.region.pages()[at];
        let start = Instant::now();
        std::hint::black_box(stamp::read(page, at));
        times.add(start.elapsed().as_nanos() as u64);
    }

    /// Times the first access to a page; then checks whose it is, and changes it.
    fn touch(&mut self, at: usize, times: &mut Histogram) -> Result<()> {
        self.first_touch(at, times);
        let version = &mut self.versions[at];
        let page = &mut self.region.pages_mut()[at];
        stamp::check(page, at, *version)?;
        *version += 1;
        stamp::write(page, at, *version);
        Ok(())
    }

    fn verify(&self, at: usize, times: &mut Histogram) -> Result<()> {
        self.first_touch(at, times);
        let mut expected = *self.sample(at);
        stamp::write(&mut expected, at, self.versions[at]);
        ensure!(
            self.region.pages()[at] == expected,
            "page {at} has come back wrong"
        );
        Ok(())
    }
}

impl Load for Memory {
    type Request = Phase;

    fn work(&mut self, phase: &Phase, times: &mut Histogram) -> Result<()> {
        let count = self.versions.len();
        let random = match phase {
            Phase::Uniform => Some(Chooser::new(Choice::Uniform, count)),
            Phase::Skewed => Some(Chooser::new(Choice::Skewed, count)),
            _ => None,
        };
        for at in 0..count {
            match (phase, &random) {
                (Phase::Fill, _) => self.fill(at),
                (Phase::Verify, _) => self.verify(at, times)?,
                (_, None) => self.touch(at, times)?,
                (_, Some(chooser)) => {
                    let at = chooser.next(&mut self.random);
                    self.touch(at, times)?;
                }
            }
        }
        Ok(())
    }
}
