//! What all contents of a mount share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Mode;
use super::buffers::BufferPool;
use super::cache::Cache;
use super::tuner::Tuner;
use super::writeback::WriteBack;
use crate::options::Limits;

/// What all contents of a mount share.
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    /// Most bytes of all files together, of files that live in memory only.
    pub(super) size: u64,
    pub(super) buffers: BufferPool,
    pub(super) write_back: WriteBack,
    pub(super) tuner: Arc<Tuner>,
    pub(super) invalidated: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
