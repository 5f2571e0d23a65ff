//! What every codec can do that is measured.

use std::fmt::Display;

use anyhow::Result;
use compcache_engine::Page;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Whose {
    Ours,
    Library,
    /// The kernel's, reached by a zram device: its speeds are those of the block device.
    Kernel,
}

/// What is measured, with the pages of one source at a time. It is shown by its name.
pub(super) trait Contender: Display {
    fn whose(&self) -> Whose;

    /// Takes pages in: compresses each, and checks that it comes back. Gives the length of each
    /// chunk, a whole page if there is none.
    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>>;

    /// Compresses page `at` of those that were taken in once more.
    fn compress(&mut self, pages: &[Page], at: usize) -> Result<()>;

    /// Restores page `at`, which has a chunk.
    fn decompress(&mut self, at: usize) -> Result<()>;
}
