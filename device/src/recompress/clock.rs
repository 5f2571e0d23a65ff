//! Time, as the recompressing thread sees it.

use std::time::{Duration, Instant};

use compcache_engine::cold::Clock;
use rustix::time::{ClockId, clock_gettime};

/// The calling thread's clock.
pub(super) struct ThreadClock(Instant);

impl ThreadClock {
    /// The clock of the calling thread.
    pub(super) fn new() -> Self {
        ThreadClock(Instant::now())
    }
}

impl Clock for ThreadClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_passes_with_work() {
        let clock = ThreadClock::new();
        let before = clock.cpu();
        while clock.cpu() == before {
            std::hint::black_box(0);
        }
    }

    #[test]
    fn sleep_ends_when_another_thread_says_so() {
        let sleeper = std::thread::current();
        let waker = std::thread::spawn(move || sleeper.unpark());
        ThreadClock::new().sleep(None);
        waker.join().unwrap();
    }
}
