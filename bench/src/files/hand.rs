//! The process in the cage that reads and writes files, and knows what they must be.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use compcache_engine::{PAGE_SIZE, Page};
use compcache_random::Random;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::data::corpus;
use super::orders::{Choice, Done, HandArgs, Order};
use super::sums;
use super::writer::Writer;
use super::zipf::Zipf;
use crate::histogram::Histogram;
use crate::mapping::Mapping;

/// Bytes of one read of a sequential pass.
const BLOCK: usize = 64 << 10;

/// Does each order that is on standard input, and answers on standard output, a line each.
///
/// # Errors
/// Where a file cannot be read or written, or a page is not what it must be.
pub(crate) fn run(args: &HandArgs) -> Result<()> {
    // The bench may be killed; nobody else would end this process.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut hand = Hand::new(args)?;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?)?;
        let done = hand.work(&order)?;
        serde_json::to_writer(&mut out, &done)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

struct Hand {
    files: Vec<(PathBuf, File)>,
    /// Checksums of all pages of them.
    sums: Vec<u64>,
    random: Random,
    /// The last one used, with its exponent and its number of pages.
    zipf: Option<(f64, u32, Zipf)>,
    writer: Option<Writer>,
    times: Histogram,
}

impl Hand {
    fn new(args: &HandArgs) -> Result<Hand> {
        let files = corpus::names(&args.directory)?
            .into_iter()
            .map(|path| {
                let file =
                    File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                Ok((path, file))
            })
            .collect::<Result<_>>()?;
        let bytes =
            fs::read(&args.sums).with_context(|| format!("cannot read {}", args.sums.display()))?;
        let (words, _) = bytes.as_chunks::<8>();
        ensure!(!words.is_empty(), "no checksums in {}", args.sums.display());
        Ok(Hand {
            files,
            sums: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            random: Random::new(args.seed),
            zipf: None,
            writer: None,
            times: Histogram::new(),
        })
    }

    fn work(&mut self, order: &Order) -> Result<Done> {
        self.times = Histogram::new();
        let seconds = match order {
            Order::Sequential { skip } => timed(|| self.sequential(*skip))?,
            Order::Random {
                reads,
                share,
                choice,
            } => {
                let pages = ((self.sums.len() as f64 * share) as u32).max(1);
                self.prepare(pages, *choice);
                timed(|| self.random(*reads, pages, *choice))?
            }
            Order::Hot { reads, bytes } => timed(|| self.hot(*reads, *bytes))?,
            Order::Mapped { touches } => {
                let mappings = self.map()?;
                timed(|| self.mapped(&mappings, *touches))?
            }
            Order::Write { path, pages } => {
                let samples = self.samples()?;
                let writer = self.writer.insert(Writer::new(path, samples)?);
                timed(|| writer.write(*pages))?
            }
            Order::Overwrite { writes, sync_every } => {
                let writer = self.writer.as_mut().context("nothing is written yet")?;
                timed(|| writer.overwrite(*writes, *sync_every, &mut self.random))?
            }
        };
        Ok(Done {
            seconds,
            times: self.times.sparse(),
            written: self.writer.as_ref().map_or(0, Writer::sum),
        })
    }

    fn sequential(&self, skip: usize) -> Result<()> {
        let mut block = vec![0; BLOCK];
        for (number, (path, file)) in self.files.iter().enumerate().skip(skip) {
            let mut at = 0;
            loop {
                let length = file
                    .read_at(&mut block, at)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                if length == 0 {
                    break;
                }
                ensure!(
                    length % PAGE_SIZE == 0,
                    "{}: a read of {length} bytes, no whole pages",
                    path.display()
                );
                let first = number * corpus::PAGES_OF_FILE + at as usize / PAGE_SIZE;
                for (n, page) in block[..length].chunks_exact(PAGE_SIZE).enumerate() {
                    check(&self.sums, first + n, page)?;
                }
                at += length as u64;
            }
        }
        Ok(())
    }

    /// Makes what is needed to choose pages, before time counts.
    fn prepare(&mut self, pages: u32, choice: Choice) {
        if let Choice::Zipf(theta) = choice
            && self
                .zipf
                .as_ref()
                .is_none_or(|known| (known.0, known.1) != (theta, pages))
        {
            // The same pages are popular each time.
            let zipf = Zipf::new(pages, theta, &mut Random::new(u64::from(pages)));
            self.zipf = Some((theta, pages, zipf));
        }
    }

    fn random(&mut self, reads: u64, pages: u32, choice: Choice) -> Result<()> {
        let mut page = [0; PAGE_SIZE];
        for _ in 0..reads {
            let number = match (choice, &self.zipf) {
                (Choice::Zipf(_), Some((_, _, zipf))) => zipf.next(&mut self.random) as usize,
                _ => self.random.index(pages as usize),
            };
            let start = Instant::now();
            self.read(&mut page, number)?;
            self.times.add(start.elapsed().as_nanos() as u64);
            check(&self.sums, number, &page)?;
        }
        Ok(())
    }

    fn hot(&mut self, reads: u64, bytes: usize) -> Result<()> {
        let mut block = vec![0; bytes];
        let blocks = self.sums.len() * PAGE_SIZE / bytes;
        ensure!(blocks > 0, "no {bytes} bytes to read");
        let of_page = bytes / PAGE_SIZE;
        for _ in 0..reads {
            let number = self.random.index(blocks) * of_page;
            self.read(&mut block, number)?;
            black_box(&block);
        }
        Ok(())
    }

    fn map(&self) -> Result<Vec<Mapping>> {
        self.files
            .iter()
            .map(|(path, file)| {
                Mapping::of_file(file).with_context(|| format!("cannot map {}", path.display()))
            })
            .collect()
    }

    fn mapped(&mut self, mappings: &[Mapping], touches: u64) -> Result<()> {
        for _ in 0..touches {
            let number = self.random.index(self.sums.len());
            let page = mappings
                .get(number / corpus::PAGES_OF_FILE)
                .and_then(|mapping| mapping.pages().get(number % corpus::PAGES_OF_FILE))
                .context("a file is shorter than its checksums")?;
            black_box(page[number % PAGE_SIZE]);
        }
        Ok(())
    }

    fn read(&self, block: &mut [u8], page: usize) -> Result<()> {
        let (path, file) = self
            .files
            .get(page / corpus::PAGES_OF_FILE)
            .context("there are fewer files than checksums")?;
        let at = (page % corpus::PAGES_OF_FILE * PAGE_SIZE) as u64;
        file.read_exact_at(block, at)
            .with_context(|| format!("cannot read {} at {at}", path.display()))
    }

    /// The pages of the first file, to write.
    fn samples(&self) -> Result<Vec<Page>> {
        let (path, _) = self.files.first().context("no file to take pages from")?;
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(bytes.as_chunks().0.to_vec())
    }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn check(sums: &[u64], number: usize, page: &[u8]) -> Result<()> {
    if sums.get(number) != Some(&sums::of(page)) {
        bail!("page {number} is not what it must be");
    }
    Ok(())
}

/// The checksum of a file of whole pages, as a [`Done`] has it.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn sum_of_file(path: &Path) -> Result<u64> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sums::of_pages(bytes.as_chunks().0.iter()))
}
