//! Limits of resources, setrlimit(2).

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit that would kill this daemon, and could not be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of {what} ({flag}) is {hard}, at which the kernel would kill this daemon with all \
     that it holds: start it without that limit, or as root"
)]
pub(crate) struct Unlifted {
    what: &'static str,
    flag: &'static str,
    hard: u64,
}

/// A limit, and what is wanted of it.
struct Limit {
    resource: Resource,
    what: &'static str,
    flag: &'static str,
    /// The least that is enough; `None` for no limit.
    enough: Option<u64>,
    /// Whether the kernel kills a process that reaches it.
    kills: bool,
}

const fn limit(resource: Resource, what: &'static str, flag: &'static str) -> Limit {
    Limit {
        resource,
        what,
        flag,
        enough: None,
        kills: false,
    }
}

const LIMITS: [Limit; 9] = [
    limit(Resource::Fsize, "the size of files", "ulimit -f"),
    Limit {
        kills: true,
        ..limit(Resource::Cpu, "CPU time in seconds", "ulimit -t")
    },
    limit(Resource::As, "virtual memory", "ulimit -v"),
    limit(Resource::Data, "data memory", "ulimit -d"),
    Limit {
        enough: Some(8 << 20),
        ..limit(Resource::Stack, "the stack", "ulimit -s")
    },
    Limit {
        enough: Some(4096),
        ..limit(Resource::Nofile, "open files", "ulimit -n")
    },
    Limit {
        enough: Some(4096),
        ..limit(Resource::Nproc, "processes", "ulimit -u")
    },
    Limit {
        enough: Some(4096),
        ..limit(Resource::Sigpending, "pending signals", "ulimit -i")
    },
    Limit {
        kills: true,
        ..limit(Resource::Rttime, "real-time CPU time in µs", "ulimit -R")
    },
];

/// Limits that stay too low, for a message.
#[derive(Debug)]
pub(super) struct Low(Vec<(&'static str, &'static str, u64)>);

impl fmt::Display for Low {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (what, flag, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{what} ({flag}) {value}")?;
        }
        Ok(())
    }
}

/// Lifts all limits, or raises them as far as this process may. Returns those that stay too low.
pub(super) fn lift() -> Result<Option<Low>, Unlifted> {
    let mut low = Vec::new();
    for limit in LIMITS {
        let Limit {
            what, flag, kills, ..
        } = limit;
        let Err((value, _)) = limit.lift() else {
            continue;
        };
        if kills {
            return Err(Unlifted {
                what,
                flag,
                hard: value,
            });
        }
        low.push((what, flag, value));
    }
    Ok((!low.is_empty()).then_some(Low(low)))
}

impl Limit {
    /// Raises the limit until it is enough; otherwise gives the value that it has then.
    fn lift(&self) -> Result<(), (u64, Errno)> {
        let now = getrlimit(self.resource);
        let is_enough = |value: Option<u64>| match (value, self.enough) {
            (None, _) => true,
            (Some(value), Some(enough)) => value >= enough,
            (Some(_), None) => false,
        };
        if is_enough(now.current) && is_enough(now.maximum) {
            return Ok(());
        }
        let maximum = if is_enough(now.maximum) {
            now.maximum
        } else {
            self.enough
        };
        let current = if is_enough(now.current) {
            now.current
        } else {
            self.enough.or(maximum)
        };
        let Err(errno) = setrlimit(self.resource, Rlimit { current, maximum }) else {
            return Ok(());
        };
        // Without the right to raise the hard limit: as far as that.
        let most = Rlimit {
            current: now.maximum,
            maximum: now.maximum,
        };
        let value = match setrlimit(self.resource, most) {
            Ok(()) => now.maximum,
            Err(_) => now.current,
        };
        match value {
            Some(value) => Err((value, errno)),
            None => Ok(()),
        }
    }
}
