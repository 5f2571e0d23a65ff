//! When cold pages are recompressed: the pace of the thread that does it, in time that nobody else
//! wants.
//!
//! [`Recompressor`] says how; this says when. Four epochs make up the time after which a page is
//! cold. Within an epoch the thread works in slices of its share of 100 ms, sleeps for the rest of
//! them, and waits for as long as the device is busy. When nothing is left to age or to recompress
//! it sleeps until a page is written: an idle device then uses no CPU at all.

use core::time::Duration;

use crate::codec::CodecSpec;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::store::{ColdPolicy, Progress, Recompressor, Store};

/// Epochs that make up the time after which a page is cold. The more, the less it is
/// overshot (by one epoch at most) and the more often the slots are gone over.
const EPOCHS: u32 = 4;

/// The time over which the share of the CPU is kept, and over which the device must have been
/// quiet.
pub const WINDOW: Duration = Duration::from_millis(100);

/// Pages that a device serves in a [`WINDOW`] without being busy: eight faults with their
/// neighbours. Recompression waits for more than that.
pub const QUIET_PAGES: u64 = 64;

/// What the thread asks of the system; tests have their own.
pub trait Clock {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// CPU time that this thread has used.
    fn cpu(&self) -> Duration;

    /// Sleeps for as long as `limit`, or until the thread is woken; may return early.
    fn sleep(&self, limit: Option<Duration>);
}

/// Whoever the thread works for.
pub trait Owner {
    /// Whether the thread is to end, or to work in another way. Asked often: a thread that cannot
    /// be preempted may let others have the processor here.
    fn is_over(&self) -> bool;

    /// Notes that so much CPU time was used.
    fn used(&self, time: Duration);
}

/// How cold pages are recompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// By which codec.
    pub codec: CodecSpec,
    /// How long a page was neither read nor written before it counts as cold, in seconds.
    pub after_seconds: u32,
    /// The share of one CPU that may be used, in per cent, 1 to 100.
    pub cpu_percent: u32,
}

/// Recompresses a store's cold pages, epoch after epoch, until [`Owner::is_over`] says so.
pub fn recompress<H: Host, F: FrameMemory, S: SlotMemory>(
    store: &Store<H, F, S>,
    recompressor: Recompressor<'_, H, F, S>,
    pace: Pace,
    clock: &impl Clock,
    owner: &impl Owner,
) {
    Pass {
        store,
        recompressor,
        clock,
        owner,
        pace,
        cold: ColdPolicy {
            codec: pace.codec,
            // The first epoch may begin just after a page was touched.
            age: EPOCHS as u8 + 1,
        },
        seen: (store.served(), clock.now()),
        paid_until: clock.now(),
    }
    .run();
}

/// The work at one pace.
struct Pass<'a, H: Host, F, S, C, O> {
    store: &'a Store<H, F, S>,
    recompressor: Recompressor<'a, H, F, S>,
    clock: &'a C,
    owner: &'a O,
    pace: Pace,
    cold: ColdPolicy,
    /// Pages that the store had served when it was last looked at, and when that was.
    seen: (u64, Duration),
    /// No more work before this moment: the share of the CPU is used up.
    paid_until: Duration,
}

impl<H: Host, F: FrameMemory, S: SlotMemory, C: Clock, O: Owner> Pass<'_, H, F, S, C, O> {
    /// Epoch after epoch, until it is over.
    fn run(&mut self) {
        let period = Duration::from_secs(self.pace.after_seconds.into()) / EPOCHS;
        while self.sleep_until(self.clock.now() + period) {
            let was_idle = self.recompressor.is_idle();
            let Some(left) = self.epoch() else {
                return;
            };
            if left > 0 {
                continue;
            }
            if !(was_idle && self.recompressor.is_idle()) {
                // A write that was under way may have been missed: one more epoch will tell.
                self.recompressor.set_idle();
                continue;
            }
            while self.recompressor.is_idle() {
                if self.owner.is_over() {
                    return;
                }
                self.clock.sleep(None);
            }
        }
    }

    /// Sleeps; returns whether there is reason to go on.
    fn sleep_until(&self, moment: Duration) -> bool {
        loop {
            if self.owner.is_over() {
                return false;
            }
            match moment.checked_sub(self.clock.now()) {
                None | Some(Duration::ZERO) => return true,
                left => self.clock.sleep(left),
            }
        }
    }

    /// One epoch, in slices. Returns how many chunks are left to age or recompress; `None`
    /// where it was interrupted.
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
        let time = self.seen.1.saturating_sub(since).max(WINDOW);
        // pages / time > QUIET_PAGES / WINDOW
        u128::from(pages) * WINDOW.as_nanos() > u128::from(QUIET_PAGES) * time.as_nanos()
    }

    /// Works for the share of a window, or until the device gets busy. Returns how many
    /// chunks are left if that ended the epoch.
    fn slice(&mut self) -> Option<u64> {
        let (began, cpu_before) = (self.clock.now(), self.clock.cpu());
        let share = WINDOW * self.pace.cpu_percent / 100;
        loop {
            let progress = self.recompressor.step(self.cold);
            let used = self.clock.cpu().saturating_sub(cpu_before);
            let left = match progress {
                Progress::EpochEnded { left } => Some(left),
                Progress::Within => None,
            };
            let disturbed = self.store.served().wrapping_sub(self.seen.0) > QUIET_PAGES;
            if left.is_some() || used >= share || disturbed || self.owner.is_over() {
                self.paid_until = began + used * 100 / self.pace.cpu_percent;
                self.owner.used(used);
                return left;
            }
        }
    }
}
