//! The thread that recompresses cold pages, in time that nobody else wants.
//!
//! The engine says how ([`compcache_engine::store::Recompressor`]); this says when. Four
//! epochs make up the time after which a page is cold. Within an epoch the thread works in
//! slices of its share of 100 ms, sleeps for the rest of them, and waits for as long as the
//! device is busy. When nothing is left to age or to recompress it sleeps until a page is
//! written: an idle device then uses no CPU at all.

mod clock;
pub(crate) mod policy;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use compcache_engine::store::{ColdPolicy, Progress, Recompressor};
use compcache_engine::{CodecSpec, FrameMemory, Host, SlotMemory, Store};
use compcache_host::sched;
use parking_lot::Mutex;

use crate::disk::StoreDisk;
use crate::keeper::Wake;
use clock::{Clock, ThreadClock};
use policy::{ColdCodec, Recompress};

/// Epochs that make up the time after which a page is cold. The more, the less it is
/// overshot (by one epoch at most) and the more often the slots are gone over.
const EPOCHS: u32 = 4;

/// The time over which the share of the CPU is kept, and over which the device must have been
/// quiet.
const WINDOW: Duration = Duration::from_millis(100);

/// Pages that a device serves in a [`WINDOW`] without being busy: eight faults with their
/// neighbours. Recompression waits for more than that.
const QUIET_PAGES: u64 = 64;

/// What the thread and its owner share.
#[derive(Default)]
struct Shared {
    policy: Mutex<Recompress>,
    wake: Arc<Wake>,
    cpu_ns: AtomicU64,
}

/// A device's recompression: the thread, stopped and joined on drop.
pub(crate) struct Recompression {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
        let thread = std::thread::Builder::new()
            .name(format!("{name}/cold"))
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.wake.listen();
                    sched::become_idle();
                    run(disk.store(), &shared, &ThreadClock::new());
                }
            })?;
        Ok(Recompression {
            shared,
            thread: Some(thread),
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

impl Drop for Recompression {
    fn drop(&mut self) {
        self.shared.wake.end(&mut self.thread);
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
        let pass = match policy.codec {
            ColdCodec::Off => None,
            // Nobody else recompresses this store.
            ColdCodec::Codec(codec) => match store.try_recompressor() {
                Ok(recompressor) => recompressor.map(|recompressor| {
                    Pass::new(store, recompressor, shared, clock, policy, codec)
                }),
                Err(error) => {
                    tracing::warn!("cold pages are not recompressed: {error}");
                    None
                }
            },
        };
        match pass {
            Some(mut pass) => pass.run(),
            None => clock.sleep(None),
        }
    }
}

/// The work under one policy.
struct Pass<'a, H: Host, F, S, C> {
    store: &'a Store<H, F, S>,
    recompressor: Recompressor<'a, H, F, S>,
    shared: &'a Shared,
    clock: &'a C,
    policy: Recompress,
    cold: ColdPolicy,
    /// Pages that the store had served when it was last looked at, and when that was.
    seen: (u64, Duration),
    /// No more work before this moment: the share of the CPU is used up.
    paid_until: Duration,
}

impl<'a, H: Host, F: FrameMemory, S: SlotMemory, C: Clock> Pass<'a, H, F, S, C> {
    fn new(
        store: &'a Store<H, F, S>,
        recompressor: Recompressor<'a, H, F, S>,
        shared: &'a Shared,
        clock: &'a C,
        policy: Recompress,
        codec: CodecSpec,
    ) -> Self {
        Pass {
            store,
            recompressor,
            shared,
            clock,
            policy,
            cold: ColdPolicy {
                codec,
                // The first epoch may begin just after a page was touched.
                age: EPOCHS as u8 + 1,
            },
            seen: (store.served(), clock.now()),
            paid_until: clock.now(),
        }
    }

    /// Epoch after epoch, until the policy changes or the thread is stopped.
    fn run(&mut self) {
        let period = Duration::from_secs(self.policy.after_seconds.into()) / EPOCHS;
        while self.sleep_until(self.clock.now() + period) {
            let rested = self.recompressor.rests();
            let Some(left) = self.epoch() else {
                return;
            };
            if left > 0 {
                continue;
            }
            if !(rested && self.recompressor.rests()) {
                // A write that was under way may have been missed: one more epoch will tell.
                self.recompressor.rest();
                continue;
            }
            while self.recompressor.rests() {
                if self.is_over() {
                    return;
                }
                self.clock.sleep(None);
            }
        }
    }

    /// Whether the thread was stopped, or is to work under another policy.
    fn is_over(&self) -> bool {
        self.shared.wake.take();
        self.shared.wake.is_stopped() || *self.shared.policy.lock() != self.policy
    }

    /// Sleeps; returns whether there is reason to go on.
    fn sleep_until(&self, moment: Duration) -> bool {
        loop {
            if self.is_over() {
                return false;
            }
            match moment.checked_sub(self.clock.now()) {
                None | Some(Duration::ZERO) => return true,
                left => self.clock.sleep(left),
            }
        }
    }

    /// One epoch, in slices. Returns how many chunks are left to age or recompress; `None`
    /// where it was broken off.
    fn epoch(&mut self) -> Option<u64> {
        loop {
            if !self.sleep_until(self.paid_until) {
                return None;
            }
            if self.is_busy() {
                if !self.sleep_until(self.clock.now() + WINDOW) {
                    return None;
                }
                continue;
            }
            if let Some(left) = self.slice() {
                return Some(left);
            }
        }
    }

    /// Whether the device has served many pages since this was last asked.
    fn is_busy(&mut self) -> bool {
        let (served, since) = self.seen;
        self.seen = (self.store.served(), self.clock.now());
        let pages = self.seen.0.wrapping_sub(served);
        let windows = (self.seen.1.saturating_sub(since)).div_duration_f64(WINDOW);
        pages as f64 > QUIET_PAGES as f64 * windows.max(1.0)
    }

    /// Works for the share of a window, or until the device gets busy. Returns how many
    /// chunks are left if that ended the epoch.
    fn slice(&mut self) -> Option<u64> {
        let (began, cpu_before) = (self.clock.now(), self.clock.cpu());
        let share = WINDOW * self.policy.cpu_percent / 100;
        loop {
            let progress = self.recompressor.step(self.cold);
            let used = self.clock.cpu().saturating_sub(cpu_before);
            let left = match progress {
                Progress::EpochEnded { left } => Some(left),
                Progress::Within => None,
            };
            let disturbed = self.store.served().wrapping_sub(self.seen.0) > QUIET_PAGES;
            if left.is_some() || used >= share || disturbed || self.is_over() {
                self.paid_until = began + used * 100 / self.policy.cpu_percent;
                let ns = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
                self.shared.cpu_ns.fetch_add(ns, Ordering::Relaxed);
                return left;
            }
        }
    }
}
