//! What can go wrong in a store.

use crate::backing::BackingError;

/// Why a page could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The page is past the end.
    #[error("page {index} is past the end of the device, which has {pages} pages")]
    OutOfRange {
        /// The page.
        index: u64,
        /// Pages of the store.
        pages: u64,
    },
    /// There is no room for the page.
    #[error(
        "no room for page {index}: the pool is at its limit or the system has no more memory, \
         and there is no backing swap"
    )]
    NoSpace {
        /// The page.
        index: u64,
    },
    /// There is no memory for the slot of the page, with or without a backing store.
    #[error(
        "no memory for the slot of page {index}: the system refuses any more; stop programs, or \
         look at vm.overcommit_memory"
    )]
    NoSlotMemory {
        /// The page.
        index: u64,
    },
    /// The backing store failed.
    #[error(transparent)]
    Backing(#[from] BackingError),
}

/// Why a page could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The page is past the end.
    #[error("page {index} is past the end of the device, which has {pages} pages")]
    OutOfRange {
        /// The page.
        index: u64,
        /// Pages of the store.
        pages: u64,
    },
    /// What is held of the page is not what was written.
    #[error("page {index} is corrupt: what is held of it does not match its checksum")]
    Corrupt {
        /// The page.
        index: u64,
    },
    /// The backing store failed.
    #[error(transparent)]
    Backing(#[from] BackingError),
}
