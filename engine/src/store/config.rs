//! How a store is set up.

use crate::codec::CodecSpec;

/// How a store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Most bytes of memory that the pool may hold; `None` for as many as its frames.
    pub memlimit: Option<u64>,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool and sets of counters: as many as workers at work at once, in a
    /// kernel as many as CPUs.
    pub arenas: usize,
    /// Most bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
}
