//! What a device does with cold pages, as it is set now.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lock_api::Mutex;

use crate::params::Recompress;
use crate::spinlock::Spinlock;

/// What is done with cold pages, and what it has cost.
#[derive(Debug)]
pub(crate) struct Policy {
    recompress: Mutex<Spinlock, Recompress>,
    cpu_ns: AtomicU64,
}

impl Policy {
    pub(crate) fn new(recompress: Recompress) -> Self {
        Policy {
            recompress: Mutex::new(recompress),
            cpu_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self) -> Recompress {
        *self.recompress.lock()
    }

    /// The caller wakes the thread.
    pub(crate) fn set(&self, recompress: Recompress) {
        *self.recompress.lock() = recompress;
    }

    /// Adds CPU time that was used, in nanoseconds.
    pub(crate) fn charge(&self, ns: u64) {
        self.cpu_ns.fetch_add(ns, Relaxed);
    }

    /// CPU time used so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Relaxed)
    }
}
