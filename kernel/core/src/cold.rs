//! The thread that recompresses cold pages: [`compcache_engine::cold`] with the kernel's time.

use core::time::Duration;

use compcache_engine::cold::{self, Clock, Owner, Pace};
use compcache_engine::fallible::NoMemory;

use crate::live::Live;
use crate::params::Recompress;
use crate::print::{Level, print};
use crate::sys;
use crate::threads::Thread;

/// How long the thread waits if there was no memory for its buffers, in ms.
const NO_MEMORY_PAUSE_MS: u64 = 10_000;

/// The calling thread's clock, under one policy.
struct KernelClock<'a> {
    live: &'a Live,
    thread: &'a Thread,
    under: Recompress,
}

impl Clock for KernelClock<'_> {
    fn now(&self) -> Duration {
        // SAFETY: may be called anywhere.
        Duration::from_nanos(unsafe { sys::rzk_local_clock() })
    }

    fn cpu(&self) -> Duration {
        // SAFETY: as above.
        Duration::from_nanos(unsafe { sys::rzk_thread_cpu_ns() })
    }

    fn sleep(&self, limit: Option<Duration>) {
        // Rounded up: 0 would be no limit.
        let limit = limit.map_or(0, |limit| limit.as_millis() as u64 + 1);
        self.thread.sleep(limit);
    }
}

impl Owner for KernelClock<'_> {
    fn is_over(&self) -> bool {
        self.thread.take_wake();
        // SAFETY: nothing is held.
        unsafe { sys::rzk_cond_resched() };
        self.thread.is_stopped() || self.live.policy.get() != self.under
    }

    fn used(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.live.policy.charge(ns);
    }
}

/// What the thread does until it is stopped.
pub(crate) fn run(live: &Live) {
    let thread = &live.store().host().cold;
    while !thread.is_stopped() {
        thread.take_wake();
        let under = live.policy.get();
        let Some(codec) = under.codec else {
            thread.sleep(0);
            continue;
        };
        let clock = KernelClock {
            live,
            thread,
            under,
        };
        let pace = Pace {
            codec,
            after_seconds: under.after_seconds,
            cpu_percent: under.cpu_percent,
        };
        match live.store().try_recompressor() {
            Ok(Some(recompressor)) => {
                cold::recompress(live.store(), recompressor, pace, &clock, &clock);
            }
            // Nobody else recompresses this store.
            Ok(None) => thread.sleep(0),
            Err(NoMemory) => {
                print(
                    Level::FailedStore,
                    Some(live.number()),
                    format_args!("no memory to recompress cold pages with: trying again later"),
                );
                thread.sleep(NO_MEMORY_PAUSE_MS);
            }
        }
    }
}
