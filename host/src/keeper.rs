//! The keeper: a device's background thread, which fills the reserve of frames and evacuates
//! sparse ones. It sleeps until it is woken and costs nothing when there is nothing to do.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};

/// Wakes a background thread; never blocks.
#[derive(Debug, Default)]
pub struct Wake {
    wanted: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Wake {
    /// Asks for a round of work.
    pub fn wake(&self) {
        // Whoever turns the flag on wakes; before the thread is known, its first look at the
        // flag sees it.
        if !self.wanted.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Asks the thread to end when it looks; it is not woken.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Ends the thread and waits for that.
    pub fn end(&self, thread: &mut Option<JoinHandle<()>>) {
        self.stop();
        if let Some(thread) = thread.take() {
            thread.thread().unpark();
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("the thread {name} panicked");
            }
        }
    }

    /// Makes the calling thread the one that is woken.
    pub fn listen(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    /// Whether work was asked for since this was last asked.
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
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts a thread that calls `keep` as long as it returns `true`, once at first and then
    /// whenever `wake` is woken. The thread is called `NAME/keep`.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start(
        name: &str,
        wake: Arc<Wake>,
        keep: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        wake.wanted.store(true, Ordering::Release);
        let shared = Arc::clone(&wake);
        let thread = std::thread::Builder::new()
            .name(format!("{name}/keep"))
            .spawn(move || {
                shared.listen();
                while !shared.is_stopped() {
                    if !shared.take() {
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
        self.wake.end(&mut self.thread);
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
