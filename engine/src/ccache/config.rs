//! How a cache is set up.

use crate::codec::CodecSpec;

/// How a cache is set up.
#[derive(Clone, Copy, Debug)]
pub struct CcacheConfig {
    /// Most bytes of pool and index.
    pub limit: u64,
    /// What the cache may always hold, in bytes, however much it costs.
    pub floor: u64,
    /// Codec for new pages.
    pub codec: CodecSpec,
    /// Arenas of the pool: as many as threads that work at once.
    pub arenas: usize,
    /// Most bytes of ready frames that the keeper holds in reserve.
    pub reserve_bytes: u64,
    /// No page may be dropped: files live here only. The target is then always the limit.
    pub only_copy: bool,
}
