//! What is done to a backend: the same for all of them.

use anyhow::{Result, ensure};
use compcache_engine::Page;
use compcache_random::Random;

use crate::capture::Source;
use crate::interrupt;

use super::backend::Backend;

/// A page: which source, and which of its pages.
type Content = (u16, u32);

/// Does things to a backend, and knows what it must hold.
pub(crate) struct Trace<'a> {
    sources: &'a [Source],
    pub(crate) backend: &'a mut dyn Backend,
    random: Random,
    /// What each page must be; `None` if it was freed or never written.
    content: Vec<Option<Content>>,
}

impl<'a> Trace<'a> {
    /// A trace over an empty backend of `pages` pages. `seed` decides all of it.
    pub(crate) fn new(
        sources: &'a [Source],
        backend: &'a mut dyn Backend,
        pages: usize,
        seed: u64,
    ) -> Self {
        Trace {
            sources,
            backend,
            random: Random::new(seed),
            content: vec![None; pages],
        }
    }

    /// Writes every page, in order, each from any source.
    pub(crate) fn fill(&mut self) -> Result<()> {
        for index in 0..self.content.len() {
            let content = self.any();
            self.store(index, content)?;
        }
        Ok(())
    }

    /// Overwrites `count` pages, each one any of all, with one from any source: swap slots that
    /// are used again one by one.
    pub(crate) fn churn(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let index = self.random.index(self.content.len());
            let content = self.any();
            self.store(index, content)?;
        }
        Ok(())
    }

    /// Writes about `count` pages as programs do that come and go: the pages of each lie
    /// together, come from one source, and are freed at once when it ends, for the next to take
    /// their place with another number of pages.
    pub(crate) fn lifetimes(&mut self, count: usize) -> Result<()> {
        let total = self.content.len();
        let largest = (total / 8).max(2);
        let mut done = 0;
        while done < count {
            // From one page to `largest`, each power of two as likely as the next.
            let bits = largest.ilog2() + 1;
            let power = 1_usize << self.random.below(bits.into());
            let size = (power + self.random.index(power)).min(largest);
            let first = self.random.index(total - size + 1);
            self.discard(first, size)?;
            // Some of it the program never swaps out.
            let used = size - self.random.index(size / 2 + 1);
            let source = self.random.index(self.sources.len());
            for index in first..first + used {
                let page = self.random.index(self.sources[source].pages.len());
                self.store(index, (source as u16, page as u32))?;
            }
            done += size;
        }
        Ok(())
    }

    /// Frees every page with a chance of one half.
    pub(crate) fn free_half(&mut self) -> Result<()> {
        for index in 0..self.content.len() {
            if self.content[index].is_some() && self.random.below(2) == 0 {
                self.discard(index, 1)?;
            }
        }
        Ok(())
    }

    pub(crate) fn verify(&mut self) -> Result<()> {
        let mut page = [0; compcache_engine::PAGE_SIZE];
        for (index, content) in self.content.iter().enumerate() {
            if let Some(content) = content {
                self.backend.load(index as u64, &mut page)?;
                ensure!(
                    page == *lookup(self.sources, *content),
                    "page {index} came back wrong"
                );
            }
        }
        Ok(())
    }

    pub(crate) fn original(&self) -> u64 {
        let pages = self.content.iter().flatten().count();
        (pages * compcache_engine::PAGE_SIZE) as u64
    }

    fn any(&mut self) -> Content {
        let source = self.random.index(self.sources.len());
        let page = self.random.index(self.sources[source].pages.len());
        (source as u16, page as u32)
    }

    fn store(&mut self, index: usize, content: Content) -> Result<()> {
        interrupt::check()?;
        self.content[index] = Some(content);
        self.backend
            .store(index as u64, lookup(self.sources, content))
    }

    fn discard(&mut self, first: usize, count: usize) -> Result<()> {
        self.content[first..first + count].fill(None);
        self.backend.discard(first as u64, count as u64)
    }
}

fn lookup(sources: &[Source], (source, page): Content) -> &Page {
    &sources[usize::from(source)].pages[page as usize]
}
