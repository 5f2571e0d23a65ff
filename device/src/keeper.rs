//! The keeper: a device's background thread, which fills the reserve of frames and evacuates
//! sparse ones. It sleeps until it is woken and costs nothing when there is nothing to do.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};

/// Wakes the keeper; never blocks.
#[derive(Default)]
pub(crate) struct Wake {
    wanted: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Wake {
    /// Asks for a round of work.
    pub(crate) fn wake(&self) {
        // Whoever turns the flag on wakes; before the thread is known, its first look at the
        // flag sees it.
        if !self.wanted.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// The keeper thread; stopped and joined on drop.
pub(crate) struct Keeper {
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts a thread that calls `keep` as long as it returns `true`, once at first and then
    /// whenever `wake` is woken.
    pub(crate) fn start(
        name: &str,
        wake: Arc<Wake>,
        keep: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        wake.wanted.store(true, Ordering::Release);
        let shared = Arc::clone(&wake);
        let thread = std::thread::Builder::new()
            .name(format!("{name}/keep"))
            .spawn(move || {
                shared.thread.get_or_init(std::thread::current);
                while !shared.stop.load(Ordering::Acquire) {
                    if !shared.wanted.swap(false, Ordering::AcqRel) {
                        std::thread::park();
                    } else if keep() {
                        shared.wanted.store(true, Ordering::Release);
                    }
                }
            })?;
        Ok(Keeper {
            wake,
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wake.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the keeper thread panicked");
            }
        }
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
        let (tell, told) = mpsc::channel();
        let rounds = AtomicU32::new(0);
        let keeper = Keeper::start("test", Arc::clone(&wake), move || {
            let n = rounds.fetch_add(1, Ordering::Relaxed) + 1;
            tell.send(n).unwrap();
            n < 3
        })
        .unwrap();
        assert_eq!([0; 3].map(|_| told.recv().unwrap()), [1, 2, 3]);
        for n in 4..100 {
            wake.wake();
            assert_eq!(told.recv().unwrap(), n);
        }
        drop(keeper);
        assert!(
            told.recv().is_err(),
            "the thread has ended and has not worked again"
        );
    }

    #[test]
    fn it_can_be_stopped_at_once() {
        for _ in 0..100 {
            drop(Keeper::start("test", Arc::default(), || true).unwrap());
        }
    }
}
