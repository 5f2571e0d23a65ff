//! Whether a mounted file is still served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Counts the threads that answer the requests of a connection.
#[derive(Debug)]
pub(super) struct Serving {
    name: String,
    threads: AtomicUsize,
    /// The threads are to serve on: the file was mounted, and is not being unmounted.
    wanted: AtomicBool,
}

/// One thread, for as long as it serves.
pub(super) struct Thread(Arc<Serving>);

impl Serving {
    /// Of the device of this name, by no thread yet.
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Serving {
            name: name.to_owned(),
            threads: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
        })
    }

    /// One thread more, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Thread {
        self.threads.fetch_add(1, SeqCst);
        Thread(Arc::clone(self))
    }

    /// Whether any thread is left.
    pub(super) fn is_serving(&self) -> bool {
        self.threads.load(SeqCst) > 0
    }

    /// Says whether the threads are to serve on from now on: then the end of the last one is an error.
    pub(super) fn set_wanted(&self, wanted: bool) {
        self.wanted.store(wanted, SeqCst);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let serving = &self.0;
        if serving.threads.fetch_sub(1, SeqCst) == 1 && serving.wanted.load(SeqCst) {
            tracing::error!(
                device = serving.name,
                "its FUSE connection was aborted: it is not served any more, and what it holds cannot \
                 be read; swap it off and reset it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_served_by_the_last_thread_too() {
        let serving = Serving::new("ramzswap7");
        let (one, other) = (serving.begin(), serving.begin());
        drop(one);
        assert!(serving.is_serving());
        drop(other);
        assert!(!serving.is_serving());
    }
}
