//! A host for the engine's own tests.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Host;
use super::heap::StdTime;
use crate::codec::Builtin;

/// Locks of `parking_lot`, the real clock, and counts of calls for the threads of a store.
#[derive(Debug, Default)]
pub(crate) struct TestHost {
    time: StdTime,
    pub(crate) keeper_calls: AtomicU32,
    pub(crate) recompressor_calls: AtomicU32,
    pub(crate) pinned: AtomicU32,
}

impl Host for TestHost {
    type Codecs = Builtin;
    type Lock = parking_lot::RawMutex;

    fn now_ns(&self) -> u64 {
        self.time.now_ns()
    }

    fn backoff(&self, attempt: u32) {
        StdTime::backoff(attempt);
    }

    fn pin(&self) {
        self.pinned.fetch_add(1, Ordering::Relaxed);
    }

    fn unpin(&self) {
        let before = self.pinned.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "only what is pinned is unpinned");
    }

    fn wake_keeper(&self) {
        self.keeper_calls.fetch_add(1, Ordering::Relaxed);
    }

    fn wake_recompressor(&self) {
        self.recompressor_calls.fetch_add(1, Ordering::Relaxed);
    }
}
