//! What the daemon asks of the kernel for its own process.
//!
//! The daemon holds other programs' pages. It must not be swapped out to itself, must not
//! wait for memory that only it can free, and must not be the one that the kernel kills when
//! memory is short.

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, configure_io_flusher_behavior, setrlimit};
use serde::{Deserialize, Serialize};

use crate::integer::Numbers;

/// What `oom_score_adj` may be: see proc(5).
pub(crate) const OOM_SCORE_ADJ: Numbers = Numbers::new(-1000, 1000);

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessOptions {
    /// Keep this process's memory from being swapped out.
    pub lock_memory: bool,
    /// Let allocations by this process not wait for its own devices (`PR_SET_IO_FLUSHER`).
    pub io_flusher: bool,
    /// The `oom_score_adj` to take, −1000 to 1000.
    pub oom_score_adj: i16,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        ProcessOptions {
            lock_memory: true,
            io_flusher: true,
            oom_score_adj: -1000,
        }
    }
}

/// Sets up this process. It must have no other thread yet: threads inherit this. Gives at most
/// one warning, which names all that the kernel refused.
#[must_use]
pub fn set_up(options: &ProcessOptions) -> Vec<String> {
    let mut refused = Vec::new();
    let mut attempt = |what: String, result: io::Result<()>| {
        if let Err(e) = result {
            refused.push(format!("{what} ({e})"));
        }
    };
    if options.lock_memory {
        // Without this right the limit stays, and mlockall says whether it is enough.
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        let _ = setrlimit(Resource::Memlock, unlimited);
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        attempt("mlockall".into(), mlockall(flags).map_err(Into::into));
    }
    if options.io_flusher {
        let result = configure_io_flusher_behavior(true).map_err(Into::into);
        attempt("PR_SET_IO_FLUSHER".into(), result);
    }
    let adj = options.oom_score_adj;
    let result = fs::write("/proc/self/oom_score_adj", adj.to_string());
    attempt(format!("oom_score_adj {adj}"), result);
    if refused.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "the kernel refused {}: when memory is very short, this daemon may be killed, or wait \
         for memory that only it can free, and programs on its devices with it; give it \
         CAP_SYS_RESOURCE and CAP_IPC_LOCK",
        refused.join(", ")
    )]
}
