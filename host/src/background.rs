//! Background threads that end with their owner.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// A named thread; stopped and joined on drop.
///
/// If it panics, that goes to the log at once, and dropping it is as for one that has ended.
pub struct Background {
    name: String,
    stop: Option<Box<dyn FnOnce() + Send + Sync>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Background {
    /// Starts a thread that calls `run`. By convention it is called `NAME/what`; Linux shows the
    /// first 15 bytes.
    ///
    /// `stop` must make `run` return, unless that does so in any case. It is called at most once,
    /// when this is dropped; then the thread is unparked, and waited for.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(
        name: impl Into<String>,
        run: impl FnOnce() + Send + 'static,
        stop: impl FnOnce() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let name = name.into();
        let thread = spawn(Builder::new(), &name, run)?;
        Ok(Background {
            name,
            stop: Some(Box::new(stop)),
            thread: Some(thread),
        })
    }

    /// Lets the thread go on without an owner: nobody stops it or waits for it any more.
    pub fn detach(mut self) {
        self.thread = None;
    }
}

/// Starts a thread that nobody owns, with a stack of `stack` bytes: it ends when `run` returns. If it panics, that
/// goes to the log.
///
/// # Errors
/// If the system has no thread left.
pub fn spawn_detached(
    name: &str,
    stack: usize,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    spawn(Builder::new().stack_size(stack), name, run).map(drop)
}

fn spawn(
    builder: Builder,
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let own = name.to_owned();
    let (begun, has_begun) = mpsc::sync_channel(1);
    let thread = builder.name(name.to_owned()).spawn(move || {
        // Whoever started it waits for this.
        let _ = begun.send(());
        // The thread ends: nobody sees what a panic has left half done in `run`.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            tracing::error!("the thread {own} panicked");
        }
    })?;
    // Before it runs, the standard library takes memory for it, and ends the process if that is refused: not later than
    // here, so that what was started can serve while memory is out. It sends in any case.
    let _ = has_begun.recv();
    Ok(thread)
}

impl Drop for Background {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if let Some(stop) = self.stop.take() {
            stop();
        }
        thread.thread().unpark();
        // A panic of `run` was caught, and is in the log.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn drop_stops_and_joins() {
        let [stopped, ended] = [false; 2].map(|value| Arc::new(AtomicBool::new(value)));
        let (receiver, tells) = (Arc::clone(&stopped), Arc::clone(&ended));
        let thread = Background::start(
            "test/wait",
            move || {
                assert_eq!(std::thread::current().name(), Some("test/wait"));
                while !receiver.load(Ordering::Acquire) {
                    std::thread::park();
                }
                tells.store(true, Ordering::Release);
            },
            {
                let stopped = Arc::clone(&stopped);
                move || stopped.store(true, Ordering::Release)
            },
        )
        .unwrap();
        assert!(!ended.load(Ordering::Acquire));
        drop(thread);
        assert!(ended.load(Ordering::Acquire));
    }

    #[test]
    fn one_that_is_detached_goes_on() {
        let (go_on, wait) = channel();
        let (sender, receiver) = channel();
        let run = move || {
            let _ = sender.send(wait.recv());
        };
        Background::start("test/go", run, || panic!("stopped"))
            .unwrap()
            .detach();
        go_on.send(7).unwrap();
        assert_eq!(receiver.recv().unwrap(), Ok(7));
    }

    #[test]
    fn a_panic_is_reported_and_does_not_hinder_the_owner() {
        let log = tempfile::NamedTempFile::new().unwrap();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Arc::new(log.reopen().unwrap()))
            .init();
        let (stopped, stop) = channel();
        let thread = Background::start(
            "test/panic",
            || panic!("as the test wants it"),
            move || stopped.send(()).unwrap(),
        )
        .unwrap();
        drop(thread);
        stop.try_recv().expect("stopped");
        let text = std::fs::read_to_string(log.path()).unwrap();
        assert!(text.contains("the thread test/panic panicked"), "{text}");
    }
}
