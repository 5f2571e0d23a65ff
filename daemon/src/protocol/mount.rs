//! What a client says of a mount that it wants.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::integer::Numbers;
use crate::size::Size;

/// How long dirty pages wait by default, in seconds.
pub const DEFAULT_DIRTY_AFTER: u32 = 30;
/// For how long at most names and attributes are not checked, by default, in seconds.
pub const DEFAULT_REVALIDATE: u32 = 60;
/// How long a mount that has to end waits for its source by default, in seconds.
pub const DEFAULT_GIVE_UP_AFTER: u32 = 30;
/// The longest time in seconds that anything here may take: a day.
const MAX_SECONDS: u32 = 86_400;
/// How long dirty pages may wait.
pub const DIRTY_AFTER: Numbers = Numbers::of(&(1..=MAX_SECONDS), SECONDS);
/// For how long at most names and attributes may not be checked.
pub const REVALIDATE: Numbers = Numbers::of(&(0..=MAX_SECONDS), SECONDS);
/// How long a mount that has to end may wait for its source.
pub const GIVE_UP_AFTER: Numbers = Numbers::of(&(1..=MAX_SECONDS), SECONDS);
/// What they count.
const SECONDS: &str = "seconds";
/// Options for the kernel that a mount may have.
pub const FLAGS: [&str; 8] = [
    "ro", "nosuid", "nodev", "noexec", "noatime", "suid", "dev", "exec",
];

/// A mount as its user wants it. Paths are absolute and lead through no symbolic link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// The directory to show; `None` for files that live in memory only.
    pub source: Option<PathBuf>,
    /// Where to mount it.
    pub mountpoint: PathBuf,
    /// All else.
    pub settings: MountSettings,
}

/// What can be set of a mount: on the command line, of which these are the options and their help; in
/// a configuration file; after `-o`. What is `None` is as the daemon chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[group(skip)]
pub struct MountSettings {
    /// Size of a mount with --ram, before compression: bytes, or with K, M, G, T or % (of RAM)
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "ram"
    )]
    pub size: Option<Size>,

    /// Most memory for its pages: bytes, or with K, M, G, T or % (of the RAM that the daemon can
    /// have) [default: 50%]
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "paths"
    )]
    pub cache: Option<Size>,

    /// Codec for pages: NAME or NAME:LEVEL, for example zstd:3, lz4 (larger, but less work)
    /// [default: zstd:1]
    #[arg(short, long, value_name = "CODEC", requires = "paths")]
    pub codec: Option<String>,

    /// Keep writes in memory and write them out later: on fsync, on close, after --dirty-after
    /// and at --dirty-limit
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        requires = "paths",
        conflicts_with = "write_through"
    )]
    pub write_back: Option<bool>,

    /// Seconds.
    #[arg(
        long,
        help = format!(
            "With --write-back: write pages out after so many seconds, from {DIRTY_AFTER} \
             [default: {DEFAULT_DIRTY_AFTER}]"
        ),
        value_name = "SECONDS",
        requires = "write_back",
        allow_hyphen_values = true,
        value_parser = DIRTY_AFTER.parser::<u32>()
    )]
    pub dirty_after: Option<u32>,

    /// With --write-back: most bytes that are not written out yet, before compression; % are of
    /// the cache [default: 25%]
    #[arg(
        long,
        value_name = "SIZE",
        allow_hyphen_values = true,
        requires = "write_back"
    )]
    pub dirty_limit: Option<Size>,

    /// Check SOURCE each time a file is used, for sources that others change all the time
    #[arg(long, num_args = 0, default_missing_value = "true", requires = "paths")]
    pub strict: Option<bool>,

    /// Seconds.
    #[arg(
        long,
        help = format!(
            "Longest time in seconds for which names and attributes are used without checking \
             SOURCE, from {REVALIDATE}; it is a tenth of the time since the file last changed, but at \
             least 1 second and at most this [default: {DEFAULT_REVALIDATE}]"
        ),
        value_name = "SECONDS",
        requires = "paths",
        allow_hyphen_values = true,
        value_parser = REVALIDATE.parser::<u32>()
    )]
    pub revalidate: Option<u32>,

    /// Seconds.
    #[arg(
        long,
        help = format!(
            "At shutdown or after umount(8): discard dirty pages once SOURCE has accepted none for \
             this long, in seconds, from {GIVE_UP_AFTER} [default: {DEFAULT_GIVE_UP_AFTER}]"
        ),
        value_name = "SECONDS",
        requires = "paths",
        allow_hyphen_values = true,
        value_parser = GIVE_UP_AFTER.parser::<u32>()
    )]
    pub give_up_after: Option<u32>,

    /// Allow other users, subject to the files' permissions; the default for root. Other users
    /// need user_allow_other in /etc/fuse.conf for this option
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        requires = "paths",
        conflicts_with = "no_allow_other"
    )]
    pub allow_other: Option<bool>,

    /// Options for the kernel, as in `ro` and `nosuid`; `None`: none.
    #[arg(skip)]
    pub flags: Option<Vec<String>>,
}

impl MountSettings {
    /// These settings, and those of `other` if these are `None`.
    #[must_use]
    pub fn or(self, other: MountSettings) -> MountSettings {
        MountSettings {
            size: self.size.or(other.size),
            cache: self.cache.or(other.cache),
            codec: self.codec.or(other.codec),
            write_back: self.write_back.or(other.write_back),
            dirty_after: self.dirty_after.or(other.dirty_after),
            dirty_limit: self.dirty_limit.or(other.dirty_limit),
            strict: self.strict.or(other.strict),
            revalidate: self.revalidate.or(other.revalidate),
            give_up_after: self.give_up_after.or(other.give_up_after),
            allow_other: self.allow_other.or(other.allow_other),
            flags: self.flags.or(other.flags),
        }
    }

    /// Whether writes are kept in memory.
    #[must_use]
    pub fn is_write_back(&self) -> bool {
        self.write_back == Some(true)
    }

    /// Whether SOURCE is asked each time.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict == Some(true)
    }
}
