//! A file that is written, and what it must hold.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compcache_engine::{PAGE_SIZE, Page};
use compcache_random::Random;

use super::sums;

/// Pages of one write of a sequential pass.
const BLOCK: u64 = 16;

/// A file that is written.
pub(super) struct Writer {
    file: File,
    samples: Vec<Page>,
    /// The sample that each page is.
    content: Vec<u32>,
}

impl Writer {
    /// Of a new file, from pages to choose from.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn new(path: &Path, samples: Vec<Page>) -> Result<Writer> {
        ensure!(!samples.is_empty(), "no pages to write");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Writer {
            file,
            samples,
            content: Vec::new(),
        })
    }

    /// Writes so many pages from the start of the file, and has them on the disk.
    ///
    /// # Errors
    /// Those of pwrite(2) and fsync(2).
    pub(super) fn write(&mut self, pages: u64) -> Result<()> {
        let count = self.samples.len() as u64;
        self.content = (0..pages).map(|page| (page % count) as u32).collect();
        for first in (0..pages).step_by(BLOCK as usize) {
            let numbers = first..pages.min(first + BLOCK);
            let block: Vec<u8> = numbers
                .flat_map(|page| self.samples[(page % count) as usize])
                .collect();
            self.file
                .write_all_at(&block, first * PAGE_SIZE as u64)
                .with_context(|| format!("cannot write page {first}"))?;
        }
        self.file.sync_all().context("fsync failed")
    }

    /// Overwrites pages anywhere, with an fsync(2) after each `sync_every` of them.
    ///
    /// # Errors
    /// Those of pwrite(2) and fsync(2).
    pub(super) fn overwrite(
        &mut self,
        writes: u64,
        sync_every: u64,
        random: &mut Random,
    ) -> Result<()> {
        for number in 1..=writes {
            let page = random.index(self.content.len());
            let sample = random.index(self.samples.len());
            self.file
                .write_all_at(&self.samples[sample], (page * PAGE_SIZE) as u64)
                .with_context(|| format!("cannot write page {page}"))?;
            self.content[page] = sample as u32;
            if number % sync_every == 0 {
                self.file.sync_all().context("fsync failed")?;
            }
        }
        Ok(())
    }

    /// The checksum of what the file must be.
    pub(super) fn sum(&self) -> u64 {
        let pages = self.content.iter();
        sums::of_pages(pages.map(|&sample| &self.samples[sample as usize]))
    }
}
