//! Files that are read and written.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use compcache_engine::{PAGE_SIZE, Page};
use compcache_random::Random;
use fs_err::os::unix::fs::FileExt as _;
use fs_err::{self as fs, File};
use serde::{Deserialize, Serialize};

use super::choice::{Choice, Chooser};
use super::work::Load;
use super::writer::Writer;
use crate::file_set;
use crate::histogram::Histogram;
use crate::mapping::Mapping;
use crate::sums;

/// Bytes of one read of a sequential pass.
const BLOCK: usize = 64 << 10;

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// The directory whose files are read, all of the same size but the last
    #[arg(long)]
    directory: PathBuf,
    /// The checksums of all pages of these files, in the order of their names
    #[arg(long)]
    sums: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Read all files from the first to the last page, and check them.
    Sequential { skip: usize },
    /// Read pages of the first `share` of all, and check them.
    Random {
        reads: u64,
        /// Of all pages, 0 to 1.
        share: f64,
        choice: Choice,
    },
    /// Read, by pread(2), blocks of so many bytes anywhere, and check nothing.
    Hot { reads: u64, bytes: usize },
    /// Touch pages anywhere through mmap(2), and check nothing.
    Mapped { touches: u64 },
    /// Write a new file from the first to the last byte, and fsync(2) it. Its content is that of
    /// the files read, over and over.
    Write { path: PathBuf, pages: u64 },
    /// Overwrite pages anywhere in the file that was written.
    Overwrite {
        writes: u64,
        /// After how many of them there is an fsync(2).
        sync_every: u64,
    },
}

impl Request {
    /// One pass over all files.
    pub(crate) const PASS: Request = Request::Sequential { skip: 0 };
}

pub(super) struct Files {
    files: Vec<File>,
    sums: Vec<u64>,
    random: Random,
    /// For the last random reads.
    chooser: Option<Chooser>,
    mappings: Vec<Mapping>,
    writer: Option<Writer>,
}

impl Files {
    pub(super) fn new(args: &FilesArgs, seed: u64) -> Result<Files> {
        let names = file_set::names(&args.directory)?;
        let bytes = fs::read(&args.sums)?;
        let (words, _) = bytes.as_chunks::<8>();
        ensure!(!words.is_empty(), "no checksums in {}", args.sums.display());
        Ok(Files {
            files: names
                .into_iter()
                .map(File::open)
                .collect::<Result<_, _>>()?,
            sums: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            random: Random::new(seed),
            chooser: None,
            mappings: Vec::new(),
            writer: None,
        })
    }

    fn sequential(&self, skip: usize) -> Result<()> {
        let mut block = vec![0; BLOCK];
        for (number, file) in self.files.iter().enumerate().skip(skip) {
            let mut at = 0;
            loop {
                let length = file.read_at(&mut block, at)?;
                if length == 0 {
                    break;
                }
                ensure!(
                    length % PAGE_SIZE == 0,
                    "{}: a read of {length} bytes, no whole pages",
                    file.path().display()
                );
                let first = number * file_set::PAGES_OF_FILE + at as usize / PAGE_SIZE;
                for (n, page) in block[..length].chunks_exact(PAGE_SIZE).enumerate() {
                    self.check(first + n, page)?;
                }
                at += length as u64;
            }
        }
        Ok(())
    }

    fn random(&mut self, reads: u64, times: &mut Histogram) -> Result<()> {
        let chooser = self.chooser.as_ref().context("no pages to choose from")?;
        let mut page = [0; PAGE_SIZE];
        for _ in 0..reads {
            let number = chooser.next(&mut self.random);
            let start = Instant::now();
            self.read(&mut page, number)?;
            times.add(start.elapsed().as_nanos() as u64);
            self.check(number, &page)?;
        }
        Ok(())
    }

    fn hot(&mut self, reads: u64, bytes: usize) -> Result<()> {
        let mut block = vec![0; bytes];
        let blocks = self.sums.len() * PAGE_SIZE / bytes;
        ensure!(blocks > 0, "no {bytes} bytes to read");
        for _ in 0..reads {
            let number = self.random.index(blocks) * (bytes / PAGE_SIZE);
            self.read(&mut block, number)?;
            black_box(&block);
        }
        Ok(())
    }

    fn mapped(&mut self, touches: u64) -> Result<()> {
        for _ in 0..touches {
            let number = self.random.index(self.sums.len());
            let mapping = self.mappings.get(number / file_set::PAGES_OF_FILE);
            let page = mapping
                .and_then(|mapping| mapping.pages().get(number % file_set::PAGES_OF_FILE))
                .context("a file is shorter than its checksums")?;
            black_box(page[number % PAGE_SIZE]);
        }
        Ok(())
    }

    fn read(&self, block: &mut [u8], page: usize) -> Result<()> {
        let file = self.files.get(page / file_set::PAGES_OF_FILE);
        let file = file.context("there are fewer files than checksums")?;
        let at = (page % file_set::PAGES_OF_FILE * PAGE_SIZE) as u64;
        Ok(file.read_exact_at(block, at)?)
    }

    fn check(&self, number: usize, page: &[u8]) -> Result<()> {
        ensure!(
            self.sums.get(number) == Some(&sums::of(page)),
            "page {number} is not what it must be"
        );
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        self.writer.as_mut().context("nothing is written yet")
    }

    /// The pages of the first file, to write.
    fn samples(&self) -> Result<Vec<Page>> {
        let file = self.files.first().context("no file to take pages from")?;
        Ok(fs::read(file.path())?.as_chunks().0.to_vec())
    }
}

impl Load for Files {
    type Request = Request;

    fn prepare(&mut self, request: &Request) -> Result<()> {
        match request {
            Request::Random { share, choice, .. } => {
                let pages = ((self.sums.len() as f64 * share) as usize).max(1);
                let known = self.chooser.as_ref();
                if known.is_none_or(|known| (known.choice, known.pages) != (*choice, pages)) {
                    self.chooser = Some(Chooser::new(*choice, pages));
                }
            }
            Request::Mapped { .. } => {
                let map = |file: &File| Mapping::of_file(file.file());
                self.mappings = self.files.iter().map(map).collect::<Result<_, _>>()?;
            }
            Request::Write { path, .. } => self.writer = Some(Writer::new(path, self.samples()?)?),
            _ => {}
        }
        Ok(())
    }

    fn work(&mut self, request: &Request, times: &mut Histogram) -> Result<()> {
        match request {
            Request::Sequential { skip } => self.sequential(*skip),
            Request::Random { reads, .. } => self.random(*reads, times),
            Request::Hot { reads, bytes } => self.hot(*reads, *bytes),
            Request::Mapped { touches } => self.mapped(*touches),
            Request::Write { pages, .. } => self.writer()?.write(*pages),
            Request::Overwrite { writes, sync_every } => {
                let mut random = Random::new(self.random.next_u64());
                self.writer()?.overwrite(*writes, *sync_every, &mut random)
            }
        }
    }

    fn written(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::sum)
    }
}

/// The checksum of a file of whole pages, as a [`Reply`](super::Reply) has it.
pub(crate) fn sum_of_file(path: &Path) -> Result<u64> {
    Ok(sums::of_pages(fs::read(path)?.as_chunks().0.iter()))
}
