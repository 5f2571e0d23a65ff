//! Requests that may take long: fsync and its like, which wait for SOURCE's disk.
//!
//! The threads that answer the kernel are few, and a user may call fsync as often at once as they like. So
//! the calls of one user hold some of the threads at most. What is beyond waits for one of these.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

/// Serves and answers a request.
type Job = Box<dyn FnOnce() + Send>;

/// Whose turn it is.
pub(crate) struct Turns {
    /// Threads that one user may hold.
    most: usize,
    /// Innermost: not held while a request is served.
    of_users: Mutex<HashMap<u32, User>>,
}

/// What is under way for a user.
///
/// 1. `running` is at least 1, and at most [`Turns::most`].
/// 2. Requests wait only while [`Turns::most`] run.
#[derive(Default)]
struct User {
    running: usize,
    /// In the order in which they came.
    waiting: VecDeque<Job>,
}

impl Turns {
    /// Of a mount with so many threads, half of which one user may hold, and one at least.
    pub(crate) fn new(workers: usize) -> Self {
        Turns {
            most: (workers / 2).max(1),
            of_users: Mutex::default(),
        }
    }

    /// Serves a request of the user: now, or by a thread that serves another one of theirs when that is
    /// done.
    pub(super) fn serve(&self, uid: u32, job: Job) {
        {
            let mut of_users = self.of_users.lock();
            let user = of_users.entry(uid).or_default();
            if user.running == self.most {
                return user.waiting.push_back(job);
            }
            user.running += 1;
        }
        let mut next = Some(job);
        while let Some(job) = next {
            job();
            next = self.next(uid);
        }
    }

    /// What a thread of the user does next; `None`, and it is not theirs any more, if nothing waits.
    fn next(&self, uid: u32) -> Option<Job> {
        let mut of_users = self.of_users.lock();
        let user = of_users.get_mut(&uid)?;
        let next = user.waiting.pop_front();
        if next.is_none() {
            user.running -= 1;
            if user.running == 0 {
                of_users.remove(&uid);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use compcache_test_support::wait_until;

    use super::*;

    /// A job that ends when `gate` is closed.
    fn held(gate: Receiver<()>) -> Job {
        Box::new(move || {
            // Closed without a word.
            let _ = gate.recv();
        })
    }

    #[test]
    fn a_user_holds_half_of_the_threads_and_keeps_no_other_waiting() {
        let turns = Arc::new(Turns::new(4));
        let (gates, waits): (Vec<_>, Vec<_>) = (0..5).map(|_| channel()).unzip();
        let threads: Vec<_> = waits
            .into_iter()
            .map(|gate| {
                let turns = Arc::clone(&turns);
                thread::spawn(move || turns.serve(1, held(gate)))
            })
            .collect();
        // Three of the threads are free again, their jobs wait.
        wait_until("three free threads", || {
            threads.iter().filter(|thread| thread.is_finished()).count() == 3
        });
        let (done, told) = channel();
        turns.serve(2, Box::new(move || done.send(()).unwrap()));
        told.try_recv().expect("another user is served at once");
        drop(gates);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert!(turns.of_users.lock().is_empty());
    }

    #[test]
    fn what_waits_is_served_in_order() {
        let turns = Arc::new(Turns::new(1));
        let (gate, wait) = channel();
        let first = thread::spawn({
            let turns = Arc::clone(&turns);
            move || turns.serve(1, held(wait))
        });
        wait_until("the first", || !turns.of_users.lock().is_empty());
        let (done, order) = channel();
        for number in 0..3 {
            let done = done.clone();
            turns.serve(1, Box::new(move || done.send(number).unwrap()));
        }
        assert!(order.try_recv().is_err());
        drop(gate);
        first.join().unwrap();
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
