//! The backing store: where pages go that must not or cannot stay in memory.

use crate::page::Page;

/// The backing store refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backing store failed: {kind} (page {index}, errno {errno})")]
pub struct BackingError {
    /// `read` or `write`.
    pub kind: &'static str,
    /// The page at which it failed.
    pub index: u64,
    /// The system's error number.
    pub errno: i32,
}

/// A store of pages by index, slower than memory: a backing swap file or partition.
pub trait Backing: Send + Sync {
    /// Reads pages `first..first + pages.len()`, in one transfer where it can.
    ///
    /// # Errors
    /// [`BackingError`] where any of them cannot be read whole; the contents of `pages` are
    /// then undefined.
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), BackingError>;

    /// Writes pages `first..first + pages.len()`, in one transfer where it can.
    ///
    /// # Errors
    /// [`BackingError`] where any of them was not written whole; all of them are then
    /// undefined in the store.
    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError>;
}
