//! One of the kinds of swap that are compared.

use std::fmt;

use super::backend::Backend;
use super::run::Workload;

/// A kind of swap under a limit.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// What takes the pages that do not fit.
    pub(crate) backend: Backend,
    /// Bytes that the processes may hold in memory.
    pub(crate) limit: u64,
}

impl Contender {
    /// One under a limit that all have; only if the pages are to fit they must.
    pub(crate) fn new(backend: Backend, load: &Workload<'_>, limit: u64) -> Self {
        let limit = match backend {
            Backend::Ram => load.bytes() * 4 + (256 << 20),
            _ => limit,
        };
        Contender { backend, limit }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backend)
    }
}
