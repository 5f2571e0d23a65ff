//! A file that is written, and what it must hold.

use std::path::Path;

use anyhow::{Result, ensure};
use compcache_engine::{PAGE_SIZE, Page};
use compcache_random::Random;
use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;

use crate::sums;

/// Pages of one write of a sequential pass.
const BLOCK: u64 = 16;

pub(super) struct Writer {
    file: File,
    samples: Vec<Page>,
    content: Vec<u32>,
}

impl Writer {
    /// Of a new file, from pages to choose from.
    pub(super) fn new(path: &Path, samples: Vec<Page>) -> Result<Writer> {
        ensure!(!samples.is_empty(), "no pages to write");
        Ok(Writer {
            file: File::create(path)?,
            samples,
            content: Vec::new(),
        })
    }

    /// Writes so many pages from the start of the file, and has them on the disk.
    pub(super) fn write(&mut self, pages: u64) -> Result<()> {
        let count = self.samples.len() as u64;
        self.content = (0..pages).map(|page| (page % count) as u32).collect();
        for first in (0..pages).step_by(BLOCK as usize) {
            let numbers = first..pages.min(first + BLOCK);
            let block: Vec<u8> = numbers
                .flat_map(|page| self.samples[(page % count) as usize])
                .collect();
            self.file.write_all_at(&block, first * PAGE_SIZE as u64)?;
        }
        Ok(self.file.sync_all()?)
    }

    /// Overwrites pages anywhere, with an fsync(2) after each `sync_every` of them.
    pub(super) fn overwrite(
        &mut self,
        writes: u64,
        sync_every: u64,
        random: &mut Random,
    ) -> Result<()> {
        for number in 1..=writes {
            let page = random.index(self.content.len());
            let sample = random.index(self.samples.len());
            let at = (page * PAGE_SIZE) as u64;
            self.file.write_all_at(&self.samples[sample], at)?;
            self.content[page] = sample as u32;
            if number % sync_every == 0 {
                self.file.sync_all()?;
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
