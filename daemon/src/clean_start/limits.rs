//! Limits of resources, setrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit that would kill this daemon, and could not be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of {what} ({flag}) is {hard}, at which the kernel would kill this daemon with all \
     that it holds: start it without that limit, or as root"
)]
pub(crate) struct LimitTooLow {
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

/// Lifts all limits, or raises them as far as this process may. Returns those that stay too low.
pub(super) fn lift() -> Result<Vec<String>, LimitTooLow> {
    let mut low = Vec::new();
    for limit in LIMITS {
        let Some(value) = limit.lift() else {
            continue;
        };
        let Limit { what, flag, .. } = limit;
        if limit.kills {
            return Err(LimitTooLow {
                what,
                flag,
                hard: value,
            });
        }
        low.push(format!("{what} ({flag}) {value}"));
    }
    Ok(low)
}

impl Limit {
    /// Raises the limit until it is enough; otherwise returns the value that it has then.
    fn lift(&self) -> Option<u64> {
        let now = getrlimit(self.resource);
        let raised = Rlimit {
            current: self.raised(now.current),
            maximum: self.raised(now.maximum),
        };
        if raised == now || setrlimit(self.resource, raised).is_ok() {
            return None;
        }
        // Without the right to raise the hard limit: as far as that.
        let most = Rlimit {
            current: now.maximum,
            maximum: now.maximum,
        };
        match setrlimit(self.resource, most) {
            Ok(()) => now.maximum,
            Err(_) => now.current,
        }
    }

    /// A value if it is enough, else what is.
    fn raised(&self, value: Option<u64>) -> Option<u64> {
        Some(value?.max(self.enough?))
    }
}
