//! The thread that recompresses cold pages, in time that nobody else wants.
//!
//! The engine says how ([`compcache_engine::store::Recompressor`]) and at what pace
//! ([`compcache_engine::cold`]); this is the thread.

mod clock;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compcache_engine::cold::{self, Clock, Owner, Pace};
use compcache_engine::{FrameMemory, Host, SlotMemory, Store};
use compcache_host::keeper::Wake;
use compcache_host::{Background, sched};
use parking_lot::Mutex;

use crate::disk::StoreDisk;
use crate::settings::{ColdCodec, Recompress};
use clock::ThreadClock;

/// What the thread and its owner share.
#[derive(Default)]
struct Shared {
    /// Innermost: copied out.
    policy: Mutex<Recompress>,
    wake: Arc<Wake>,
    cpu_ns: AtomicU64,
}

/// A device's recompression: the thread, stopped and joined on drop.
pub(crate) struct Recompression {
    shared: Arc<Shared>,
    _thread: Background,
}

impl Recompression {
    /// Starts the thread of the device `name`. `wake` is what the host of the disk's store
    /// wakes at the end of a rest.
    pub(crate) fn start<H, F, S>(
        name: &str,
        wake: Arc<Wake>,
        policy: Recompress,
        disk: Arc<StoreDisk<H, F, S>>,
    ) -> io::Result<Self>
    where
        H: Host + 'static,
        F: FrameMemory + 'static,
        S: SlotMemory + 'static,
    {
        let shared = Arc::new(Shared {
            policy: Mutex::new(policy),
            wake,
            cpu_ns: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        let thread = shared.wake.spawn(format!("{name}/cold"), move |_| {
            sched::become_idle();
            run(disk.store(), &own, &ThreadClock::new());
        })?;
        Ok(Recompression {
            shared,
            _thread: thread,
        })
    }

    /// Changes what is done from now on.
    pub(crate) fn set(&self, policy: Recompress) {
        *self.shared.policy.lock() = policy;
        self.shared.wake.wake();
    }

    /// CPU time used so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.shared.cpu_ns.load(Ordering::Relaxed)
    }
}

/// What the thread does until it is stopped.
fn run<H: Host, F: FrameMemory, S: SlotMemory>(
    store: &Store<H, F, S>,
    shared: &Shared,
    clock: &impl Clock,
) {
    while !shared.wake.is_stopped() {
        shared.wake.take();
        let policy = *shared.policy.lock();
        let found = match policy.codec {
            ColdCodec::Off => None,
            // Nobody else recompresses this store.
            ColdCodec::Codec(codec) => match store.try_recompressor() {
                Ok(recompressor) => recompressor.map(|recompressor| (recompressor, codec)),
                Err(error) => {
                    tracing::warn!("cold pages are not recompressed: {error}");
                    None
                }
            },
        };
        let Some((recompressor, codec)) = found else {
            clock.sleep(None);
            continue;
        };
        let pace = Pace {
            codec,
            after_seconds: policy.after_seconds,
            cpu_percent: policy.cpu_percent,
        };
        cold::recompress(store, recompressor, pace, clock, &Under { shared, policy });
    }
}

/// The device, for as long as one policy holds.
struct Under<'a> {
    shared: &'a Shared,
    policy: Recompress,
}

impl Owner for Under<'_> {
    fn is_over(&self) -> bool {
        self.shared.wake.take();
        self.shared.wake.is_stopped() || *self.shared.policy.lock() != self.policy
    }

    fn used(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.shared.cpu_ns.fetch_add(ns, Ordering::Relaxed);
    }
}
