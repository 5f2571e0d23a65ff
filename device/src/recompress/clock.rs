//! Time, and the thread's standing with the scheduler.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::sched;

/// What the recompressing thread asks of the system; tests have their own.
pub(super) trait Clock {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// CPU time that this thread has used.
    fn cpu(&self) -> Duration;

    /// Sleeps for as long as `limit`, or until the thread is woken; may return early.
    fn sleep(&self, limit: Option<Duration>);

    /// Gives the thread an ordinary priority, or takes it away again.
    fn hurry(&self, on: bool);
}

/// The calling thread's clock. The thread is an idle task (`SCHED_IDLE`) but while it hurries:
/// it runs where a CPU has nothing else to do, and whoever wakes gets the CPU at once.
pub(super) struct ThreadClock {
    start: Instant,
    /// The kernel once refused a change.
    refused: Cell<bool>,
}

impl ThreadClock {
    /// The clock of the calling thread, which is an idle task from now on.
    pub(super) fn new() -> Self {
        let clock = ThreadClock {
            start: Instant::now(),
            refused: Cell::new(false),
        };
        clock.hurry(false);
        clock
    }
}

impl Clock for ThreadClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn cpu(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        // Neither is ever negative.
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
    }

    fn sleep(&self, limit: Option<Duration>) {
        match limit {
            Some(limit) => std::thread::park_timeout(limit),
            None => std::thread::park(),
        }
    }

    fn hurry(&self, on: bool) {
        let policy = if on {
            libc::SCHED_OTHER
        } else {
            libc::SCHED_IDLE
        };
        if let Err(error) = sched::set_policy(policy)
            && !self.refused.replace(true)
        {
            tracing::warn!(
                "recompression cannot change its scheduling policy: {error}; run as root"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_idle_but_while_it_hurries() {
        // SAFETY: asks about the calling thread, and touches no memory.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        std::thread::spawn(move || {
            let clock = ThreadClock::new();
            assert_eq!(policy(), libc::SCHED_IDLE);
            clock.hurry(true);
            // Not root: the kernel may refuse it.
            if !clock.refused.get() {
                assert_eq!(policy(), libc::SCHED_OTHER);
            }
            clock.hurry(false);
            assert_eq!(policy(), libc::SCHED_IDLE);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn cpu_time_passes_with_work_and_not_with_sleep() {
        let clock = ThreadClock::new();
        let before = clock.cpu();
        while clock.cpu() == before {
            std::hint::black_box(0);
        }
        let (cpu, now) = (clock.cpu(), clock.now());
        while clock.now() - now < Duration::from_millis(20) {
            clock.sleep(Some(Duration::from_millis(20)));
        }
        assert!(clock.cpu() - cpu < Duration::from_millis(20));
    }
}
