//! What a cache counts.

/// Counters that the lock guards.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) refaults: u64,
    pub(super) admitted: u64,
    pub(super) bypassed: u64,
    pub(super) evicted: u64,
    pub(super) writes: u64,
    pub(super) corrupt: u64,
}
