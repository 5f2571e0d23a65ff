//! The backing store: where pages go that must not or cannot stay in memory.

use alloc::boxed::Box;
use core::fmt;

use crate::page::Page;

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From the backing store into memory.
    Read,
    /// From memory to the backing store.
    Write,
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transfer::Read => "read",
            Transfer::Write => "write",
        })
    }
}

/// The backing store refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backing store failed: {transfer} (page {index}, errno {errno})")]
pub struct BackingError {
    /// What failed.
    pub transfer: Transfer,
    /// The page at which it failed.
    pub index: u64,
    /// The system's error number.
    pub errno: i32,
}

/// Why a backing store did not read pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The transfer failed.
    Failed(BackingError),
    /// Something else lies there than what was written last, as a backing store that verifies its
    /// pages has found out.
    Damaged,
    /// One of them was being written at the same time: try again.
    Changed,
}

impl From<BackingError> for Unread {
    fn from(error: BackingError) -> Self {
        Unread::Failed(error)
    }
}

/// A store of pages by index, slower than memory: a backing swap file or partition.
pub trait Backing: Send + Sync {
    /// Reads pages `first..first + pages.len()`, in one transfer if it can.
    ///
    /// # Errors
    /// [`Unread`] if that is true of any of them; the contents of `pages` are then undefined.
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread>;

    /// Whether what [`Backing::read`] gives is always what was written last, be it while it was read.
    /// Then the checksum in a page's slot is not looked at.
    fn verifies(&self) -> bool {
        false
    }

    /// Writes pages `first..first + pages.len()`, in one transfer if it can.
    ///
    /// # Errors
    /// [`BackingError`] if any of them was not written whole; all of them are then
    /// undefined in the store.
    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError>;
}

/// How the pages of a store reach its backing store.
pub enum BackingAccess {
    /// There is none.
    None,
    /// The store moves them itself, in the thread that calls [`Store::read`](crate::Store::read)
    /// or [`Store::write`](crate::Store::write).
    Direct(Box<dyn Backing>),
    /// The caller moves them, and calls [`Store::read_page`](crate::Store::read_page) and
    /// [`Store::write_page`](crate::Store::write_page), which say when.
    ByCaller,
}

impl BackingAccess {
    /// Whether there is a backing store.
    #[inline]
    pub fn is_some(&self) -> bool {
        !matches!(self, BackingAccess::None)
    }
}

impl fmt::Debug for BackingAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackingAccess::None => "None",
            BackingAccess::Direct(_) => "Direct",
            BackingAccess::ByCaller => "ByCaller",
        })
    }
}

impl<B: Backing + 'static> From<Option<B>> for BackingAccess {
    fn from(backing: Option<B>) -> Self {
        backing.map_or(BackingAccess::None, |backing| {
            BackingAccess::Direct(Box::new(backing))
        })
    }
}
