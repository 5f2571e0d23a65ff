//! `ccache`: what its one lock costs threads that use the cache at once.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use compcache_engine::ccache::{Ccache, CcacheConfig, Decision, FileId, Lookup, Read};
use compcache_engine::host::FRAME_SIZE;
use compcache_engine::host::heap::{HeapFrames, HeapSlots};
use compcache_engine::{CodecSpec, PAGE_SIZE, Page, Worker};
use compcache_host::keeper::{Keeper, Wake};
use compcache_host::memory::LinuxHost;
use compcache_random::Random;
use serde::Serialize;

use crate::report::{Common, Report, positive};
use crate::rounds::{self, Failure};
use crate::table::{Table, short};
use crate::{programs, threads};

/// Measures pages that threads read from, and insert into, one cache of file pages, beside the same
/// threads with a cache each: what more locks than one could win at most
#[derive(Debug, Args)]
pub(crate) struct CcacheArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Threads at once
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 2, 4], value_parser = positive)]
    threads: Vec<usize>,
    /// Pages that each thread reads or inserts
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = positive)]
    pages: usize,
    /// Rounds, in each of which every contender runs once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    rounds: usize,
    /// Codec of the caches
    #[arg(long, value_name = "NAME", default_value = "wks:balanced")]
    codec: CodecSpec,
}

/// Pages that all caches of a contender could hold uncompressed: enough to leave the processor's caches.
const HELD: usize = 16384;

/// Pages captured of each source.
const CAPTURE: usize = 2048;

/// What threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Work {
    /// Read pages that are held.
    Hit,
    /// Read pages of which not all fit: those that are missing are inserted, and others evicted.
    Refault,
    /// Read pages that come once only: none is inserted after the first ones.
    Stream,
    /// Write pages that are held, as if they were dirty.
    Write,
}

/// Threads, and whether they share a cache.
#[derive(Clone, Copy, Debug)]
struct Contender {
    work: Work,
    threads: usize,
    shared: bool,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caches = if self.shared {
            "one cache"
        } else {
            "a cache each"
        };
        write!(f, "{:?}, {} threads, {caches}", self.work, self.threads)
    }
}

/// One line: so many threads at one work.
#[derive(Debug, Serialize)]
struct Row {
    work: Work,
    threads: usize,
    /// Pages a second of all threads with one cache; the median.
    pages_per_second: f64,
    /// This divided by that of the same threads with a cache each; the median of the rounds.
    to_a_cache_each: f64,
}

/// The rows.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct CcacheReport {
    rows: Vec<Row>,
}

/// Runs the comparison.
///
/// # Errors
/// If no page can be captured, there is no memory, or the cache gives a wrong page.
pub(crate) fn run(args: &CcacheArgs) -> Result<CcacheReport> {
    let full = (args.pages, args.rounds, CAPTURE);
    let (pages, rounds, capture) = args.common.choose((2000, 1, 256), full);
    let sources = programs::some_sources(capture, args.common.quick)?;
    let content = sources.into_iter().flat_map(|source| source.pages);
    let content = compressible(content.collect(), args.codec)?;
    let mut contenders = Vec::new();
    for &work in Work::value_variants() {
        for &threads in &args.threads {
            for shared in [true, false] {
                contenders.push(Contender {
                    work,
                    threads,
                    shared,
                });
            }
        }
    }
    let measure = |contender: &mut Contender, _| contender.run(&content, pages, args.codec);
    let runs = rounds::alternate(None, &mut contenders, rounds, Failure::Ends, measure)?.runs;
    let pairs = contenders.chunks(2).zip(runs.chunks(2));
    let rows = pairs.map(|(contenders, runs)| Row {
        work: contenders[0].work,
        threads: contenders[0].threads,
        pages_per_second: runs[0].median(|&speed| speed),
        to_a_cache_each: runs[0].ratio(&runs[1], |&speed| speed),
    });
    Ok(CcacheReport {
        rows: rows.collect(),
    })
}

/// Those of the pages that a cache holds: the others are not admitted.
fn compressible(mut pages: Vec<Page>, codec: CodecSpec) -> Result<Vec<Page>> {
    let cache = Cache::new(pages.len(), codec)?;
    let (mut worker, file) = (
        cache.cache.try_worker()?,
        cache.cache.add_file().context("no memory for a file")?,
    );
    for index in 0..pages.len() {
        cache.insert(&mut worker, file, index as u64, &pages);
    }
    let mut indices = 0..;
    pages.retain(|_| {
        indices
            .next()
            .is_some_and(|index| cache.cache.holds(file, index))
    });
    ensure!(!pages.is_empty(), "no page compresses");
    Ok(pages)
}

impl Contender {
    /// Pages a second of all threads.
    fn run(&self, content: &[Page], pages: usize, codec: CodecSpec) -> Result<f64> {
        let caches = if self.shared { 1 } else { self.threads };
        // Into a quarter of their size most pages fit, but not all.
        let part = if self.work == Work::Refault { 4 } else { 1 };
        let caches = (0..caches).map(|_| Cache::new(HELD / caches / part, codec));
        let caches = caches.collect::<Result<Vec<_>>>()?;
        // Each thread has a file of its own; what it holds is the same, shared or not.
        let held = HELD / self.threads;
        let files: Vec<(&Cache, FileId)> = (0..self.threads)
            .map(|at| {
                let cache = &caches[at % caches.len()];
                let file = cache.cache.add_file().context("no memory for a file")?;
                Ok((cache, file))
            })
            .collect::<Result<_>>()?;
        for &(cache, file) in &files {
            let mut worker = cache.cache.try_worker()?;
            let hold = |index| cache.insert(&mut worker, file, index, content);
            (0..held as u64).for_each(hold);
        }
        let prepared = (0..).zip(files).map(|(seed, (cache, file))| {
            let worker = cache.cache.try_worker()?;
            Ok((Random::new(seed), worker, cache, file))
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let work = |(mut random, mut worker, cache, file): (Random, Worker, &Cache, FileId)| {
            let mut page = [0; PAGE_SIZE];
            for at in 0..pages as u64 {
                let index = match self.work {
                    Work::Hit | Work::Refault | Work::Write => random.index(held) as u64,
                    Work::Stream => held as u64 + at,
                };
                if self.work == Work::Write {
                    let page = &content[(index + at) as usize % content.len()];
                    cache.cache.pin(&mut worker, file, index, page)?;
                    cache.cache.unpin(file, index);
                    continue;
                }
                match (
                    self.work,
                    cache.cache.read(&mut worker, file, index, &mut page),
                ) {
                    (_, Lookup::Hit) => ensure!(
                        page == content[index as usize % content.len()],
                        "page {index} is another's"
                    ),
                    (Work::Refault | Work::Stream, Lookup::Miss) => {
                        cache.insert(&mut worker, file, index, content)
                    }
                    (_, other) => return Err(anyhow!("page {index}: {other:?}")),
                }
            }
            Ok(())
        };
        let (_, seconds) = threads::at_once(prepared, work)?;
        Ok((self.threads * pages) as f64 / seconds)
    }
}

/// A cache, with its keeper in a thread as in a mount.
struct Cache {
    cache: Arc<Ccache<LinuxHost, HeapFrames, HeapSlots>>,
    _keeper: Keeper,
}

impl Cache {
    /// One that holds so many pages, if they are compressed to less than three quarters.
    fn new(pages: usize, codec: CodecSpec) -> Result<Cache> {
        let limit = (pages * PAGE_SIZE) as u64;
        let wake = Arc::new(Wake::default());
        let cache = Arc::new(Ccache::try_new(
            LinuxHost::new(Arc::clone(&wake), Arc::default()),
            HeapFrames::new(u32::try_from(2 * limit / FRAME_SIZE as u64)?),
            HeapSlots::new(pages * 64),
            CcacheConfig {
                limit,
                floor: limit,
                codec,
                arenas: 4,
                reserve_bytes: 1 << 20,
                only_copy: false,
            },
        )?);
        // Pages are admitted at their first read.
        cache.set_reclaiming(true);
        let kept = Arc::clone(&cache);
        let keeper = Keeper::start("bench", wake, move || kept.keep())?;
        Ok(Cache {
            cache,
            _keeper: keeper,
        })
    }

    fn insert(&self, worker: &mut Worker, file: FileId, index: u64, content: &[Page]) {
        let page = &content[index as usize % content.len()];
        if self.cache.should_admit(file, index, true) == Decision::Admit {
            self.cache
                .insert(worker, file, index, page, Read::Demand, || true);
        }
    }
}

impl Report for CcacheReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        Table::new(|row: &Row| format!("{:?}, threads: {}", row.work, row.threads))
            .column("thousand pages/s", |row| {
                format!("{:.0}", row.pages_per_second / 1e3)
            })
            .column("to a cache each", |row| short(row.to_a_cache_each))
            .print(out, "one cache", &self.rows)
    }
}
