//! What is done when memory is out and pages can no longer be swapped out.
//!
//! The kernel kills a program only after it has failed to reclaim any page 16 times in a row, without
//! reclaiming a single one in between. A swap device of which some writes fail and others do not keeps
//! it from that for minutes: each frame that is gathered from the last pages lets 15 pages go, and the
//! count begins again. So the keeper looks after a write has failed, and if memory stays out, asks for
//! some as a program would, but so that no pages need to be written for it: either some is reclaimed, or
//! the kernel's OOM killer decides.

use compcache_engine::Host as _;

use crate::live::Live;
use crate::print::{Level, print};
use crate::sys;

/// How long memory must have been out, in nanoseconds: time enough for page cache to be written back
/// to a slow disk, and short for somebody who waits.
const OUT_FOR_NS: u64 = 2_000_000_000;

/// Milliseconds between two looks.
const LOOK_MS: u64 = 50;

/// What the keeper knows about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Since when memory has been out, each time that somebody looked; in nanoseconds.
    out_since: Option<u64>,
    /// Whether a write was refused since then.
    refused: bool,
}

impl Watch {
    /// Takes in a look at `now` (nanoseconds): whether a write was refused since the last one, and
    /// whether memory is out. Returns whether to ask the kernel for memory.
    fn look(&mut self, refused: bool, is_out: impl FnOnce() -> bool, now: u64) -> bool {
        if !refused && self.out_since.is_none() || !is_out() {
            *self = Watch::default();
            return false;
        }
        let Some(since) = self.out_since else {
            self.out_since = Some(now);
            return false;
        };
        self.refused |= refused;
        if now.saturating_sub(since) < OUT_FOR_NS || !self.refused {
            return false;
        }
        *self = Watch::default();
        true
    }

    /// A look of the keeper of `live`, after which it sleeps for so many milliseconds at most (0: until
    /// it is woken). May sleep, until the kernel has killed a program.
    pub(crate) fn keep(&mut self, live: &Live) -> u64 {
        let refused = live.refusals.take();
        // SAFETY: it may sleep, and holds nothing.
        let is_out = || unsafe { sys::rzk_memory_exhausted() };
        if self.look(refused, is_out, live.store().host().now_ns()) {
            print(
                Level::Warning,
                Some(live.number()),
                format_args!(
                    "memory has been out for {} s and pages cannot be swapped out: asking the kernel for \
                     memory, for which it may kill a program",
                    OUT_FOR_NS / 1_000_000_000
                ),
            );
            // SAFETY: as above.
            unsafe { sys::rzk_reclaim_or_oom() }
        }
        // Those that follow shall not wake it one by one.
        match live
            .refusals
            .set_watched(refused || self.out_since.is_some())
        {
            true => LOOK_MS,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_kernel_is_asked_once_memory_was_out_for_two_seconds_and_writes_fail() {
        let mut watch = Watch::default();
        let mut asked = Vec::new();
        for at in (0..=5500).step_by(50) {
            if watch.look(at % 1000 == 0, || true, at * MS) {
                asked.push(at);
            }
        }
        assert_eq!(
            asked,
            [2000, 5000],
            "it begins again with the next refused write"
        );
    }

    #[test]
    fn memory_that_was_there_once_begins_it_anew() {
        let mut watch = Watch::default();
        for at in (0..=6000).step_by(50) {
            let asked = watch.look(true, || at % 1900 != 0, at * MS);
            assert!(!asked, "at {at} ms");
        }
    }

    #[test]
    fn without_a_refused_write_nobody_looks_or_asks() {
        let mut watch = Watch::default();
        assert!(!watch.look(false, || unreachable!("nobody looks"), 0));
        // One was refused at the start, and none since.
        assert!(!watch.look(true, || true, 0));
        for at in (50..=6000).step_by(50) {
            assert!(!watch.look(false, || true, at * MS), "at {at} ms");
        }
    }
}
