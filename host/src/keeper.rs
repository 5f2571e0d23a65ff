//! The keeper: a device's background thread, which fills the reserve of frames and evacuates
//! sparse ones. It sleeps until it is woken and costs nothing when there is nothing to do.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::background::Background;

/// Wakes a background thread; never blocks.
#[derive(Debug, Default)]
pub struct Wake {
    wanted: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
    /// Readable once the thread shall wake, if it waits for descriptors.
    event: Option<OwnedFd>,
}

impl Wake {
    /// For a thread that waits for descriptors, too: by [`Wake::wait`].
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn with_event() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Wake {
            event: Some(event),
            ..Wake::default()
        })
    }

    /// Asks for a round of work.
    pub fn wake(&self) {
        // Whoever turns the flag on wakes; before the thread is known, its first look at the
        // flag sees it.
        if !self.wanted.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
            self.signal();
        }
    }

    /// Makes the event readable. It can fail only if it already is.
    fn signal(&self) {
        if let Some(event) = &self.event {
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Blocks the calling thread until it is woken or is to end, one of `descriptors` has an
    /// exceptional condition (`POLLPRI`), or `timeout` is over; it may return early. Says whether a
    /// descriptor has such a condition. Needs [`Wake::with_event`].
    pub fn wait(&self, descriptors: &[impl AsFd], timeout: Option<Duration>) -> bool {
        let event = self.event.as_ref();
        let mut polled: Vec<PollFd<'_>> = descriptors
            .iter()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::PRI))
            .chain(event.map(|event| PollFd::new(event, PollFlags::IN)))
            .collect();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // Whatever it says, the caller looks at what it waits for.
        let _ = poll(&mut polled, timeout.as_ref());
        if let Some(event) = event {
            let _ = rustix::io::read(event, &mut [0; 8]);
        }
        let of_descriptors = &polled[..descriptors.len()];
        of_descriptors
            .iter()
            .any(|polled| polled.revents().contains(PollFlags::PRI))
    }

    /// Starts the thread that is woken, of this name. `run` must return once
    /// [`Wake::is_stopped`], which is so when the thread's owner drops it; it is woken for that,
    /// too. There is one such thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn spawn(
        self: &Arc<Self>,
        name: impl Into<String>,
        run: impl FnOnce(&Wake) + Send + 'static,
    ) -> io::Result<Background> {
        let (own, stopped) = (Arc::clone(self), Arc::clone(self));
        let run = move || {
            own.thread.get_or_init(std::thread::current);
            run(&own);
        };
        Background::start(name, run, move || stopped.stop())
    }

    /// Asks the thread to end when it looks. If it is parked, it sleeps on.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.signal();
    }

    /// Whether work was requested since the last call.
    pub fn take(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    /// Whether the thread is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// The keeper thread; stopped and joined on drop.
#[derive(Debug)]
pub struct Keeper {
    _thread: Background,
}

impl Keeper {
    /// Starts a thread that calls `keep` as long as it returns `true`, once at first and then
    /// whenever `wake` is woken. The thread is called `NAME/keep`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(
        name: &str,
        wake: Arc<Wake>,
        keep: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        wake.wanted.store(true, Ordering::Release);
        let thread = wake.spawn(format!("{name}/keep"), move |wake| {
            while !wake.is_stopped() {
                if !wake.take() {
                    std::thread::park();
                } else if keep() {
                    wake.wanted.store(true, Ordering::Release);
                }
            }
        })?;
        Ok(Keeper { _thread: thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    #[test]
    fn it_works_until_there_is_nothing_to_do_and_again_when_woken() {
        let wake = Arc::new(Wake::default());
        let (sender, receiver) = mpsc::channel();
        let rounds = AtomicU32::new(0);
        let keeper = Keeper::start("test", Arc::clone(&wake), move || {
            let n = rounds.fetch_add(1, Ordering::Relaxed) + 1;
            sender.send(n).unwrap();
            n < 3
        })
        .unwrap();
        assert_eq!([0; 3].map(|_| receiver.recv().unwrap()), [1, 2, 3]);
        for n in 4..100 {
            wake.wake();
            assert_eq!(receiver.recv().unwrap(), n);
        }
        drop(keeper);
        assert!(
            receiver.recv().is_err(),
            "the thread has ended and has not worked again"
        );
    }

    #[test]
    fn a_thread_that_waits_for_descriptors_is_woken_and_ended() {
        for ends in [false, true] {
            let wake = Arc::new(Wake::with_event().unwrap());
            let (sender, receiver) = mpsc::channel();
            let thread = wake.spawn("test/wait", move |wake| {
                sender.send(None).unwrap();
                while !wake.is_stopped() && !wake.take() {
                    wake.wait(&[] as &[OwnedFd], None);
                }
                sender.send(Some(wake.is_stopped())).unwrap();
            });
            let thread = thread.unwrap();
            assert_eq!(receiver.recv().unwrap(), None, "begun");
            if ends {
                drop(thread);
            } else {
                wake.wake();
            }
            assert_eq!(receiver.recv().unwrap(), Some(ends));
        }
    }

    #[test]
    fn it_can_be_stopped_at_once() {
        for _ in 0..100 {
            drop(Keeper::start("test", Arc::default(), || true).unwrap());
        }
    }
}
