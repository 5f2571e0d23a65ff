//! Pages on their way to the backing store.

use crate::slot::Departure;

/// Pages that go to the backing store in one transfer, at most: 1 MiB.
pub(super) const LONGEST_RUN: usize = 256;

/// A page on its way to the backing store. Whoever has this writes the page there, and then
/// hands it to [`Store::arrive`](super::Store::arrive), from whatever thread; until then the page can be neither read
/// nor written.
#[derive(Debug)]
#[must_use = "the page is in transit until this is handed to `Store::arrive`"]
pub struct Transit {
    pub(super) index: u64,
    pub(super) departure: Departure,
    /// When the page was given to the store.
    pub(super) since_ns: u64,
}

impl Transit {
    /// The page's index, which is also its place in the backing store.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }
}
