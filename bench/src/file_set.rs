//! Files of one size in a directory, in which a page is found by its number.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use compcache_engine::PAGE_SIZE;
use fs_err as fs;

pub(crate) const PAGES_OF_FILE: usize = 2048;

pub(crate) const FILE_BYTES: u64 = (PAGES_OF_FILE * PAGE_SIZE) as u64;

/// The files of a directory, in the order of their names.
pub(crate) fn names(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}
