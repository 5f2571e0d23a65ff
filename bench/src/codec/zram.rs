//! The kernel's codecs, which only a zram device gives access to.

use std::fmt;

use anyhow::{Context, Result, ensure};
use compcache_engine::page::{PAGE_SIZE, Page};

use super::contender::{Contender, Whose};
use crate::direct::{Aligned, Disk};
use crate::zram::Zram;

pub(super) struct Kernel {
    algorithm: String,
    loaded: Option<Loaded>,
    restored: Box<Aligned>,
}

/// The pages of a source, and a device of their size. The disk is closed before it goes.
struct Loaded {
    pages: Vec<Aligned>,
    disk: Disk,
    zram: Zram,
}

impl Kernel {
    pub(super) fn new(algorithm: String) -> Self {
        Kernel {
            algorithm,
            loaded: None,
            restored: Aligned::new(),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zram {}", self.algorithm)
    }
}

impl Contender for Kernel {
    fn whose(&self) -> Whose {
        Whose::Kernel
    }

    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>> {
        self.loaded = None;
        let zram = Zram::new(&self.algorithm, (pages.len() * PAGE_SIZE) as u64)?;
        let loaded = Loaded {
            pages: pages.iter().map(|page| Aligned(*page)).collect(),
            disk: Disk::open(&zram.node())?,
            zram,
        };
        let mut sizes = Vec::new();
        let mut before = loaded.zram.held()?.compressed;
        for (at, page) in loaded.pages.iter().enumerate() {
            loaded.disk.write(at as u64, page)?;
            // What zram keeps as it is counts as a whole page there.
            let after = loaded.zram.held()?.compressed;
            sizes.push(usize::try_from(after.saturating_sub(before))?);
            before = after;
            loaded.disk.read(at as u64, &mut self.restored)?;
            ensure!(self.restored.0 == page.0, "page {at} is lost");
        }
        self.loaded = Some(loaded);
        Ok(sizes)
    }

    fn compress(&mut self, _pages: &[Page], at: usize) -> Result<()> {
        let loaded = self.loaded.as_ref().context("no pages were taken in")?;
        loaded.disk.write(at as u64, &loaded.pages[at])
    }

    fn decompress(&mut self, at: usize) -> Result<()> {
        let loaded = self.loaded.as_ref().context("no pages were taken in")?;
        loaded.disk.read(at as u64, &mut self.restored)
    }
}
