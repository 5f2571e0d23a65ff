//! What a mount has done and holds.

use std::fmt;

use compcache_engine::ccache::Counts;
use serde::{Deserialize, Serialize};

/// What becomes of a mount's writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// They go to SOURCE before they are answered.
    #[default]
    Through,
    /// They are kept, and go to SOURCE later.
    Back,
    /// They stay in memory: there is no SOURCE.
    Ram,
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Writes::Through => "through",
            Writes::Back => "back",
            Writes::Ram => "ram",
        })
    }
}

/// A snapshot of a mount's counters. Counters never go back; gauges say what is held now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// The directory that the mount shows; empty for a `--ram` mount.
    pub source: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// What becomes of writes.
    pub write: Writes,
    /// Codec for new pages.
    pub codec: String,
    /// Bytes of memory that the cache may take.
    pub limit: u64,
    /// Bytes that it wants to take now.
    pub target: u64,
    /// Gauge: bytes of the pool.
    pub pool_bytes: u64,
    /// Gauge: bytes of the index.
    pub index_bytes: u64,
    /// Gauge: pages held.
    pub pages: u64,
    /// Gauge: of these, pages on the active list.
    pub active_pages: u64,
    /// Gauge: bytes of the chunks of these pages.
    pub compressed_bytes: u64,
    /// Gauge: dirty pages.
    pub dirty_pages: u64,
    /// Gauge: shadows of pages that were evicted or bypassed.
    pub shadows: u64,
    /// Gauge: files of which pages are held or remembered.
    pub files: u64,
    /// Gauge: inodes that the kernel knows of.
    pub inodes: u64,
    /// What the cache counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// Counter: dirty pages written out to SOURCE.
    pub written_back: u64,
    /// Counter: writes to SOURCE that failed.
    pub write_errors: u64,
    /// Counter: files whose pages were dropped because SOURCE had changed.
    pub invalidated: u64,
}
