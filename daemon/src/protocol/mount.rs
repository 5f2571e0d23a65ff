//! What a client says of a mount that it wants.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::size::Size;

/// A mount as its user wants it. What is `None` or false is as the daemon chooses; paths are
/// absolute and lead through no symbolic link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// The directory to show; `None` for files that live in memory only.
    pub source: Option<PathBuf>,
    /// Where to mount it.
    pub mountpoint: PathBuf,
    /// Size of a mount without source, before compression.
    pub size: Option<Size>,
    /// Most memory for its pages; per cent are of the daemon's memory.
    pub cache: Option<Size>,
    /// Codec for pages, `NAME` or `NAME:LEVEL`.
    pub codec: Option<String>,
    /// Keep writes in memory and write them out later.
    pub write_back: bool,
    /// Write dirty pages out after so many seconds, of `plan::DIRTY_AFTER`.
    pub dirty_after: Option<u32>,
    /// Most dirty pages, before compression; per cent are of the cache.
    pub dirty_limit: Option<Size>,
    /// Ask the source about every file each time.
    pub strict: bool,
    /// Longest time in seconds for which names and attributes are used without checking the source, of
    /// `plan::REVALIDATE`. It is a tenth of the time since the last change, at least a second.
    pub revalidate: Option<u32>,
    /// Give up what the source does not take, when the mount has to end, after so many seconds without
    /// progress, of `plan::GIVE_UP_AFTER`.
    pub give_up_after: Option<u32>,
    /// Let other users in; `None`: if the daemon is root's.
    pub allow_other: Option<bool>,
    /// Options for the kernel, as in `ro` and `nosuid`.
    pub flags: Vec<String>,
}
