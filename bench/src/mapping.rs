//! Pages mapped into memory.

use std::fs::File;
use std::io;

use compcache_engine::{PAGE_SIZE, Page};
use memmap2::{Advice, MmapMut, MmapOptions};

/// Pages that were mapped for one owner.
#[derive(Debug)]
pub(crate) struct Mapping(MmapMut);

impl Mapping {
    /// Fresh pages of zeros, each to be faulted in by itself.
    pub(crate) fn fresh(pages: usize) -> io::Result<Mapping> {
        let mapping = MmapMut::map_anon(pages * PAGE_SIZE)?;
        // A kernel without huge pages refuses it, which is as good.
        let _ = mapping.advise(Advice::NoHugePage);
        Ok(Mapping(mapping))
    }

    /// The whole pages of a file that nobody changes, as a copy that is made when written to.
    pub(crate) fn of_file(file: &File) -> io::Result<Mapping> {
        // SAFETY: the mapping is private, and nobody changes or truncates the file meanwhile.
        unsafe { MmapOptions::new().map_copy(file) }.map(Mapping)
    }

    pub(crate) fn pages(&self) -> &[Page] {
        self.0.as_chunks().0
    }

    pub(crate) fn pages_mut(&mut self) -> &mut [Page] {
        self.0.as_chunks_mut().0
    }
}
