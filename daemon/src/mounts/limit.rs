//! Tells the mounts what the swap devices leave of the one memory limit.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use compcache_files::Budget;
use parking_lot::{Condvar, Mutex};

/// Time between two looks at what the swap devices take.
const PERIOD: Duration = Duration::from_millis(100);

/// Gives the bytes that the swap devices take now.
pub type SwapBytes = Box<dyn Fn() -> u64 + Send + Sync>;

/// A thread that looks at the swap devices while there are mounts, and sleeps otherwise. Ended
/// and joined on drop.
pub struct Feeder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    budget: Arc<Budget>,
    swap: SwapBytes,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    stop: bool,
}

impl Feeder {
    /// Starts the thread; it sleeps until it is [wanted](Feeder::want).
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start(budget: Arc<Budget>, swap: SwapBytes) -> io::Result<Feeder> {
        let shared = Arc::new(Shared {
            budget,
            swap,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = shared.clone();
        let thread = thread::Builder::new()
            .name("memory-limit".into())
            .spawn(move || own.feed())?;
        Ok(Feeder {
            shared,
            thread: Some(thread),
        })
    }

    /// Whether there is anybody to tell. When somebody comes, the number is right on return.
    pub fn want(&self, wanted: bool) {
        if wanted {
            self.shared.tell();
        }
        self.shared.state.lock().wanted = wanted;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn tell(&self) {
        self.budget.set_swap((self.swap)());
    }

    fn feed(&self) {
        let mut state = self.state.lock();
        while !state.stop {
            if state.wanted {
                parking_lot::MutexGuard::unlocked(&mut state, || self.tell());
                self.changed.wait_for(&mut state, PERIOD);
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread memory-limit panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use super::*;

    fn until(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(20), "never came");
            thread::yield_now();
        }
    }

    #[test]
    fn it_looks_while_wanted_and_not_otherwise() {
        let budget = Arc::new(Budget::new(Some(1000)));
        let looks = Arc::new(AtomicU64::new(0));
        let swap = {
            let looks = looks.clone();
            Box::new(move || 100 + looks.fetch_add(1, Ordering::Relaxed))
        };
        let feeder = Feeder::start(budget.clone(), swap).unwrap();
        assert_eq!(
            (looks.load(Ordering::Relaxed), budget.for_files()),
            (0, 1000)
        );
        feeder.want(true);
        assert!(budget.for_files() <= 900);
        until(|| budget.for_files() <= 897);
        drop(feeder);
        let after = looks.load(Ordering::Relaxed);
        assert_eq!(budget.for_files(), 900 - (after - 1));
    }

    #[test]
    fn it_ends_whether_wanted_or_not() {
        for wanted in [false, true] {
            let feeder = Feeder::start(Arc::default(), Box::new(|| 0)).unwrap();
            feeder.want(wanted);
            drop(feeder);
        }
    }
}
