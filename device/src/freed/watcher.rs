//! The thread that frees dead pages, and what it listens to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::bits::DeadBits;
use super::sys::Ring;

/// How long it waits after a wake-up for more to come: a busy device has it work at most 200
/// times a second.
const GATHER: Duration = Duration::from_millis(5);

/// The thread; stopped and joined on drop.
pub(super) struct Watcher {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    wanted: AtomicBool,
    bell: OwnedFd,
}

impl Watcher {
    /// Starts a thread that calls `free` for each page whose bit is set, whenever the ring says
    /// that there are some. `free` must take the bit.
    pub(super) fn start(
        name: &str,
        ring: Ring,
        bits: Arc<DeadBits>,
        mut free: impl FnMut(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(Stop {
            wanted: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC)?,
        });
        let shared = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(format!("{name}/freed"))
            .spawn(move || {
                while shared.wait(&ring) {
                    // What is put into the ring from now on wakes again.
                    ring.clear();
                    bits.for_each(&mut free);
                }
            })?;
        Ok(Watcher {
            stop,
            thread: Some(thread),
        })
    }
}

impl Stop {
    /// Waits until the ring has something and some time has passed; `false`: until it is
    /// time to stop.
    fn wait(&self, ring: &Ring) -> bool {
        let mut both = [
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::from_borrowed_fd(ring.fd(), PollFlags::IN),
        ];
        let gather = Timespec {
            tv_sec: 0,
            tv_nsec: GATHER.subsec_nanos().into(),
        };
        for (fds, timeout) in [(2, None), (1, Some(&gather))] {
            match poll(&mut both[..fds], timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    // Dead pages are then freed by their clusters.
                    tracing::error!("waiting for dead pages failed: {}", io::Error::from(errno));
                    return false;
                }
            }
            if self.wanted.load(Ordering::Acquire) {
                return false;
            }
        }
        true
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.wanted.store(true, Ordering::Release);
        if let Err(errno) = rustix::io::write(self.stop.bell.as_fd(), &1_u64.to_ne_bytes()) {
            tracing::error!("ringing an eventfd failed: {}", io::Error::from(errno));
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that frees dead pages panicked");
        }
    }
}
