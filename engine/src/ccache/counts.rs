//! What a cache counts.

/// Counters of a cache: they never go back. Their names are those of `compcache status --json`, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counts {
    /// Accesses to pages that were held.
    pub hits: u64,
    /// Accesses to pages that were not held, and came from SOURCE.
    pub misses: u64,
    /// Of these, pages that had a shadow.
    pub refaults: u64,
    /// Pages inserted.
    pub admitted: u64,
    /// Pages not admitted because they do not compress or belong to a stream.
    pub bypassed: u64,
    /// Pages evicted.
    pub evicted: u64,
    /// Pages pinned: written by programs.
    pub writes: u64,
    /// Pages that did not match their checksum. What SOURCE has of them was read from there again.
    pub corrupt: u64,
}
