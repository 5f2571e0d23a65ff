//! Requests that SOURCE can't answer yet: opens of files on which a program holds a lease (fcntl(2)),
//! which has up to `/proc/sys/fs/lease-break-time` to give it up.
//!
//! The threads that answer the kernel are few, and a user may hold any number of leases. So none of
//! them waits: what would block is tried again by one thread, for each user as often.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use compcache_host::Background;
use compcache_host::keeper::Wake;
use parking_lot::Mutex;

/// Time between two rounds of tries.
const PERIOD: Duration = Duration::from_millis(10);

/// The most tries for one user in a round.
const TRIES: usize = 8;

/// Tries to serve a request, and says whether it is answered.
type Try = Box<dyn FnMut() -> bool + Send>;

/// Requests that wait.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Of each user, in the order in which they are to be tried. Innermost: not held over a try.
    of_users: Mutex<BTreeMap<u32, VecDeque<Try>>>,
    wake: Arc<Wake>,
}

impl Waiting {
    /// Keeps a request of the user until a try has answered it.
    pub(super) fn add(&self, uid: u32, request: Try) {
        let mut users = self.of_users.lock();
        users.entry(uid).or_default().push_back(request);
        drop(users);
        self.wake.wake();
    }

    /// Starts the thread that tries.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<Background> {
        let own = Arc::clone(self);
        self.wake.spawn("files/waiting", move |wake| {
            while !wake.is_stopped() {
                if own.try_all() {
                    thread::park_timeout(PERIOD);
                } else if !wake.take() {
                    thread::park();
                }
            }
            // Whoever waits still is answered with an error.
            own.of_users.lock().clear();
        })
    }

    /// Tries some requests of each user. Returns whether there are any left.
    fn try_all(&self) -> bool {
        let users: Vec<u32> = self.of_users.lock().keys().copied().collect();
        for uid in users {
            let tried: Vec<Try> = {
                let mut of_users = self.of_users.lock();
                let Some(waiting) = of_users.get_mut(&uid) else {
                    continue;
                };
                let count = waiting.len().min(TRIES);
                waiting.drain(..count).collect()
            };
            // Not locked: they may take long.
            let left: Vec<Try> = tried
                .into_iter()
                .filter_map(|mut request| (!request()).then_some(request))
                .collect();
            let mut of_users = self.of_users.lock();
            let waiting = of_users.entry(uid).or_default();
            waiting.extend(left);
            if waiting.is_empty() {
                of_users.remove(&uid);
            }
        }
        !self.of_users.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn each_user_is_served_whatever_another_one_waits_for() {
        let waiting = Waiting::default();
        let tries = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let tries = Arc::clone(&tries);
            let never = move || {
                tries.fetch_add(1, Relaxed);
                false
            };
            waiting.add(1, Box::new(never));
        }
        let answered = Arc::new(AtomicUsize::new(0));
        for _ in 0..TRIES {
            let answered = Arc::clone(&answered);
            let at_once = move || {
                answered.fetch_add(1, Relaxed);
                true
            };
            waiting.add(2, Box::new(at_once));
        }
        assert!(waiting.try_all());
        assert_eq!(
            (tries.load(Relaxed), answered.load(Relaxed)),
            (TRIES, TRIES)
        );
        assert_eq!(
            waiting.of_users.lock().len(),
            1,
            "who is served is not kept"
        );
        for _ in 1..100 {
            waiting.try_all();
        }
        assert_eq!(tries.load(Relaxed), 100 * TRIES);
        assert_eq!(waiting.of_users.lock()[&1].len(), 100);
    }

    #[test]
    fn the_thread_serves_what_comes_and_ends() {
        let waiting = Arc::new(Waiting::default());
        let thread = waiting.start().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut tries = 0;
        let third_time = move || {
            tries += 1;
            tries == 3 && sender.send(tries).is_ok()
        };
        waiting.add(1, Box::new(third_time));
        assert_eq!(receiver.recv(), Ok(3));
        waiting.add(1, Box::new(|| false));
        drop(thread);
        assert!(waiting.of_users.lock().is_empty());
    }
}
