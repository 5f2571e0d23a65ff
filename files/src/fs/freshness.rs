//! For how long the kernel may cache names and attributes.
//!
//! As NFS does (`acregmin`, `acregmax`): a tenth of the time since the file last changed, within
//! limits. What has just changed is likely to change again.

use std::time::{Duration, SystemTime};

use rustix::fs::Statx;

use crate::inode::stat::stamp;

/// The least time, unless SOURCE is to be asked always.
const LEAST: Duration = Duration::from_secs(1);

/// For ever, in practice: 30 years.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// A listing whose directory changed so shortly before may be older than the change: clocks of
/// file systems tick every 1 to 10 ms.
const TICK: i128 = 20_000_000;

/// For how long the kernel may cache names and attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    least: Duration,
    most: Duration,
}

impl Freshness {
    /// Between a second and `most`; no time at all if `strict`.
    pub(crate) fn new(most: Duration, strict: bool) -> Self {
        let most = if strict { Duration::ZERO } else { most };
        Freshness {
            least: LEAST.min(most),
            most,
        }
    }

    /// Nobody else can change the files.
    pub(crate) fn forever() -> Self {
        Freshness {
            least: FOREVER,
            most: FOREVER,
        }
    }

    /// How long anything may be trusted, and at least a second: so often it pays to look at what
    /// the kernel does not ask about.
    pub(crate) fn most(&self) -> Duration {
        self.most.max(LEAST)
    }

    /// For the attributes, and the name, of a file.
    pub(crate) fn of(&self, stat: &Statx) -> Duration {
        if self.least == self.most {
            return self.most;
        }
        let stamp = stamp(stat);
        let age = (now() - stamp.mtime.max(stamp.ctime)).max(0);
        let tenth = Duration::from_nanos(u64::try_from(age / 10).unwrap_or(u64::MAX));
        tenth.clamp(self.least, self.most)
    }

    /// For a name that does not exist.
    pub(crate) fn of_nothing(&self) -> Duration {
        self.least
    }

    /// Whether a listing of the directory, made now, holds all changes up to its times.
    pub(crate) fn is_unambiguous(stat: &Statx) -> bool {
        let stamp = stamp(stat);
        now() - stamp.mtime.max(stamp.ctime) > TICK
    }
}

/// Nanoseconds since 1970.
fn now() -> i128 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}
