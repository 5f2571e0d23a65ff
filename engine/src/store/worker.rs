//! What a thread needs to store and load pages.

use alloc::vec::Vec;
use core::fmt;

use super::staging::Staging;
use super::transit::Transit;
use crate::codec::{Builtin, Codecs};

/// The number for [`Store::free`](super::Store::free) and the like of a thread that has no worker in hand: it counts
/// if all such threads do.
pub const NO_WORKER: usize = usize::MAX;

/// What a thread needs to store and load pages: make one for each thread, or each CPU, before it
/// serves.
pub struct Worker<C: Codecs = Builtin> {
    pub(super) number: usize,
    pub(super) scratch: C::Scratch,
    /// Where it compresses to, and its batch.
    pub(super) staging: Staging,
    /// Pages that this worker's thread is taking to the backing store.
    pub(super) run: Vec<Transit>,
}

impl<C: Codecs> Worker<C> {
    /// The worker's number: how many were made before it. Those below
    /// [`StoreConfig::arenas`](super::StoreConfig::arenas) have an arena and counters of their own.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The codecs' working memory, for a set of codecs that needs to know its context.
    #[inline]
    pub fn scratch(&mut self) -> &mut C::Scratch {
        &mut self.scratch
    }
}

impl<C: Codecs> fmt::Debug for Worker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
