//! Options of a mount.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use compcache_engine::CodecSpec;
use compcache_host::counts::Count;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WritePolicy {
    /// It is on SOURCE before it is answered.
    #[default]
    Through,
    /// It is kept, compressed, and written out on fsync, close, after a time and at the limit.
    Back,
}

/// Limits of the memory that a mount's pages take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most bytes: pool and index.
    pub cache: u64,
    /// Never shrink below this many bytes, whatever the machine needs.
    pub floor: u64,
    /// Dirty pages are written out after this time.
    pub dirty_after: Duration,
    /// Most bytes of dirty pages, before compression; a write beyond waits.
    pub dirty: u64,
}

/// Options of a mount. What this process shares with others, budget and count, is not serialised.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountOptions {
    /// The directory that the mount shows; `None` for files that live in memory only
    /// (`--ram`), of at most [`Limits::cache`] bytes compressed and [`MountOptions::size`] in all.
    pub source: Option<PathBuf>,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Size of a `--ram` mount in bytes, before compression.
    pub size: Option<u64>,
    /// Limits of its memory.
    pub limits: Limits,
    /// Codec for pages.
    #[serde(with = "codec_text")]
    pub codec: CodecSpec,
    /// What becomes of writes.
    pub write: WritePolicy,
    /// Ask SOURCE about every file each time, instead of using for a while what was seen; see
    /// [`MountOptions::revalidate`].
    pub strict: bool,
    /// Longest time for which names and attributes are used without checking SOURCE: it is a tenth of the
    /// time since the last change, at least a second.
    pub revalidate: Duration,
    /// How long a mount that has to end waits for SOURCE while that takes no dirty page; then what is
    /// dirty is given up.
    pub give_up_after: Duration,
    /// Let other users in; the kernel checks permissions.
    pub allow_other: bool,
    /// Mount options for the kernel: ro, nosuid, nodev, noexec, noatime, suid, dev, exec.
    pub flags: Vec<String>,
    /// Threads that answer the kernel; `None` chooses.
    pub workers: Option<usize>,
    /// The limit that this mount shares with others and with swap devices; `None` for no other
    /// limit than its own.
    #[serde(skip)]
    pub budget: Option<Arc<Budget>>,
    /// Where its dirty pages are counted, each before the program that has written it is answered.
    #[serde(skip)]
    pub dirty_pages: Count,
}

/// A codec as users write it.
mod codec_text {
    use compcache_engine::CodecSpec;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(codec: &CodecSpec, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(codec)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<CodecSpec, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
