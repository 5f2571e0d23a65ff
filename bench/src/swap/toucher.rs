//! The process whose memory is swapped: it fills its pages, touches them, and knows what they
//! must be.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use compcache_engine::{PAGE_SIZE, Page};
use compcache_host::proc;
use compcache_random::Random;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::histogram::{Histogram, Sparse};
use crate::mapping::Mapping;

/// What is done to all pages.
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
    pub(crate) const ALL: [Phase; 5] = [
        Phase::Fill,
        Phase::Sweep,
        Phase::Uniform,
        Phase::Skewed,
        Phase::Verify,
    ];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Fill => "fill",
            Phase::Sweep => "sweep",
            Phase::Uniform => "uniform",
            Phase::Skewed => "skewed",
            Phase::Verify => "verify",
        }
    }
}

/// What came of a phase.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Processor time of this process, faults included, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Faults that had to read from the swap area.
    pub(crate) major: u64,
    /// The time of each first touch of a page.
    pub(crate) touches: Sparse,
}

/// What it is told on its command line.
#[derive(Debug, Args)]
pub(crate) struct ToucherArgs {
    /// A file of pages to fill memory with
    #[arg(long)]
    samples: PathBuf,
    /// The number of pages to touch
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pages: u64,
    /// What decides which are touched
    #[arg(long)]
    seed: u64,
}

/// Does each phase that is named on standard input, and answers on standard output, a line each.
///
/// # Errors
/// Where a page is not what it must be.
pub(crate) fn run(args: &ToucherArgs) -> Result<()> {
    // The bench may be killed; nobody else would end this process.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let samples = File::open(&args.samples)
        .and_then(|file| Mapping::of_file(&file))
        .with_context(|| format!("cannot map {}", args.samples.display()))?;
    ensure!(!samples.pages().is_empty(), "no samples");
    let count = usize::try_from(args.pages)?;
    let mut toucher = Toucher {
        samples,
        region: Mapping::fresh(count).context("no address space for the pages")?,
        versions: vec![0; count],
        random: Random::new(args.seed),
        touches: Histogram::new(),
    };
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let phase = serde_json::from_str(&line?)?;
        let done = toucher.work(phase)?;
        serde_json::to_writer(&mut out, &done)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

struct Toucher {
    samples: Mapping,
    region: Mapping,
    /// How often each page was changed.
    versions: Vec<u32>,
    random: Random,
    touches: Histogram,
}

impl Toucher {
    fn work(&mut self, phase: Phase) -> Result<Done> {
        let count = self.versions.len();
        self.touches = Histogram::new();
        let (major, cpu) = (major_faults()?, own_time());
        for at in 0..count {
            match phase {
                Phase::Fill => self.fill(at),
                Phase::Sweep => self.touch(at)?,
                Phase::Uniform => {
                    let at = self.random.index(count);
                    self.touch(at)?;
                }
                Phase::Skewed => {
                    let hot = self.random.below(5) < 4;
                    let at = self
                        .random
                        .index(if hot { count.div_ceil(5) } else { count });
                    self.touch(at)?;
                }
                Phase::Verify => self.verify(at)?,
            }
        }
        Ok(Done {
            cpu_ns: own_time() - cpu,
            major: major_faults()? - major,
            touches: self.touches.sparse(),
        })
    }

    fn fill(&mut self, at: usize) {
        let page = &mut self.region.pages_mut()[at];
        *page = *sample(&self.samples, at);
        stamp(page, at, 0);
    }

    /// Times the first access to a page; then checks whose it is, and changes it.
    fn touch(&mut self, at: usize) -> Result<()> {
        self.first_touch(at);
        let version = &mut self.versions[at];
        let page = &mut self.region.pages_mut()[at];
        if read_stamp(page, at) != (at as u64, u64::from(*version)) {
            bail!("page {at} has come back wrong");
        }
        *version += 1;
        stamp(page, at, *version);
        Ok(())
    }

    fn verify(&mut self, at: usize) -> Result<()> {
        self.first_touch(at);
        let mut expected = *sample(&self.samples, at);
        stamp(&mut expected, at, self.versions[at]);
        if self.region.pages()[at] != expected {
            bail!("page {at} has come back wrong");
        }
        Ok(())
    }

    fn first_touch(&mut self, at: usize) {
        let page = &self.region.pages()[at];
        let start = Instant::now();
        std::hint::black_box(read_stamp(page, at));
        let time = start.elapsed();
        self.touches.add(time.as_nanos() as u64);
    }
}

fn sample(samples: &Mapping, at: usize) -> &Page {
    let samples = samples.pages();
    &samples[at % samples.len()]
}

/// Where the stamp of a page lies: 16 bytes that make each page another.
fn stamp_at(at: usize) -> usize {
    at % (PAGE_SIZE / 64) * 64
}

fn stamp(page: &mut Page, at: usize, version: u32) {
    let place = stamp_at(at);
    page[place..place + 8].copy_from_slice(&(at as u64).to_ne_bytes());
    page[place + 8..place + 16].copy_from_slice(&u64::from(version).to_ne_bytes());
}

#[inline]
fn read_stamp(page: &Page, at: usize) -> (u64, u64) {
    let place = stamp_at(at);
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&page[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    (word(place), word(place + 8))
}

/// Processor time of this process so far, in nanoseconds.
fn own_time() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Major faults of this process so far: the tenth field behind the name in `/proc/self/stat`.
fn major_faults() -> Result<u64> {
    let stat = proc::read(Path::new("/proc/self/stat"))?;
    proc::stat_fields(&stat)
        .and_then(|mut fields| proc::number(fields.nth(9)?))
        .context("no major faults in /proc/self/stat")
}
