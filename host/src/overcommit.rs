//! Strict overcommit accounting, `vm.overcommit_memory=2`
//! (Documentation/mm/overcommit-accounting.rst).

use std::path::Path;

use crate::meminfo::Meminfo;
use crate::proc;

/// The value of `vm.overcommit_memory` with which the kernel promises no more memory than a limit.
const NEVER: u64 = 2;

/// The kernel refuses memory beyond a limit, `vm.overcommit_memory=2`: also that of memfds, one page
/// after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "vm.overcommit_memory=2: the kernel promises programs {} kB more (CommitLimit - Committed_AS), \
     and memory for compressed pages counts towards that: once it is used up, pages cannot be \
     written, although memory is free; set vm.overcommit_memory=0, or raise vm.overcommit_ratio",
    .left / 1024
)]
pub struct StrictOvercommit {
    /// Bytes that are left: CommitLimit - Committed_AS.
    pub left: u64,
}

impl StrictOvercommit {
    /// What the kernel says now; `None` if it accounts otherwise, or does not say.
    #[must_use]
    pub fn now() -> Option<Self> {
        let mode = proc::number_in(Path::new("/proc/sys/vm/overcommit_memory"));
        if mode != Some(NEVER) {
            return None;
        }
        Self::of(&Meminfo::read().ok()?)
    }

    fn of(meminfo: &Meminfo) -> Option<Self> {
        let limit = meminfo.bytes("CommitLimit")?;
        let committed = meminfo.bytes("Committed_AS")?;
        Some(StrictOvercommit {
            left: limit.saturating_sub(committed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let text = b"MemTotal: 9 kB\nCommitLimit:    12342044 kB\nCommitted_AS:     168872 kB\n";
        let strict = StrictOvercommit::of(&Meminfo::of(text)).unwrap();
        assert_eq!(strict.left, (12_342_044 - 168_872) * 1024);
        assert!(strict.to_string().contains("12173172 kB more"), "{strict}");
    }

    #[test]
    fn more_than_the_limit_may_be_committed() {
        let text = b"CommitLimit: 1 kB\nCommitted_AS: 2 kB\n";
        assert_eq!(
            StrictOvercommit::of(&Meminfo::of(text)),
            Some(StrictOvercommit { left: 0 })
        );
        for bad in [&b"CommitLimit: 1 kB\n"[..], b"\xff: \xff"] {
            assert_eq!(StrictOvercommit::of(&Meminfo::of(bad)), None);
        }
    }
}
