//! What every codec can do that is measured.

use std::fmt::Display;

use anyhow::Result;
use compcache_engine::Page;
use serde::Serialize;

/// Whose a codec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Whose {
    /// Ours.
    Ours,
    /// A library's.
    Library,
    /// The kernel's, reached by a zram device: its speeds are those of the block device.
    Kernel,
}

/// What is measured, with the pages of one source at a time. It is shown by its name.
pub(super) trait Contender: Display {
    /// Whose it is.
    fn whose(&self) -> Whose;

    /// Takes pages in: compresses each, and checks that it comes back. Gives the length of each
    /// chunk, a whole page if there is none.
    ///
    /// # Errors
    /// If a page is lost, or the system fails.
    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>>;

    /// Compresses page `at` of those that were taken in once more.
    ///
    /// # Errors
    /// If the system fails.
    fn compress(&mut self, pages: &[Page], at: usize) -> Result<()>;

    /// Restores page `at`, which has a chunk.
    ///
    /// # Errors
    /// If the system fails.
    fn decompress(&mut self, at: usize) -> Result<()>;
}
