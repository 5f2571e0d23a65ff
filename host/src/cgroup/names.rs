//! What the files of a group are called that say and limit its memory.

use super::Version;

/// Version 1: how eagerly the group swaps, from 0 (never, it is killed at its limit instead) to 100.
pub const SWAPPINESS: &str = "memory.swappiness";

/// Version 2: most bytes of swap, or `max`. Not there on a kernel without swap accounting.
pub const SWAP_LIMIT: &str = "memory.swap.max";

/// Statistics, one a line.
pub(super) const STATISTICS: &str = "memory.stat";

impl Version {
    /// The limit of memory in bytes.
    #[must_use]
    pub fn limit_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        }
    }

    /// Bytes of memory in use, page cache included.
    pub(super) fn memory_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        }
    }

    /// The most bytes of memory that were in use.
    pub(super) fn memory_peak_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        }
    }

    /// Bytes of swap in use; in version 1 of memory and swap together.
    pub(super) fn swap_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.memsw.usage_in_bytes",
            Version::V2 => "memory.swap.current",
        }
    }

    /// The most bytes of swap that were in use; in version 1 of memory and swap together.
    pub(super) fn swap_peak_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.memsw.max_usage_in_bytes",
            Version::V2 => "memory.swap.peak",
        }
    }

    /// Where kills for lack of memory are counted, under `oom_kill`.
    pub(super) fn oom_file(self) -> &'static str {
        match self {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        }
    }
}
