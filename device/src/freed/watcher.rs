//! The thread that frees dead pages, and what it listens to.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use compcache_host::Background;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::bits::DeadBits;
use super::sys::Ring;

/// How long it waits after a wake-up for more to come: a busy device has it work at most 200
/// times a second.
const GATHER: Duration = Duration::from_millis(5);

/// Starts a thread that calls `free` for each page whose bit is set, whenever the ring says
/// that there are some. `free` must take the bit.
pub(super) fn start(
    name: &str,
    ring: Ring,
    bits: Arc<DeadBits>,
    mut free: impl FnMut(u64) + Send + 'static,
) -> io::Result<Background> {
    // Rung once, at the end.
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let heard = Arc::clone(&bell);
    let run = move || {
        while wait(&heard, &ring) {
            // What is put into the ring from now on wakes again.
            ring.clear();
            bits.for_each(&mut free);
        }
    };
    Background::start(format!("{name}/freed"), run, move || {
        if let Err(errno) = rustix::io::write(&bell, &1_u64.to_ne_bytes()) {
            tracing::error!("ringing an eventfd failed: {}", io::Error::from(errno));
        }
    })
}

/// Waits until the ring has something and some time has passed; `false`: until the bell is rung.
fn wait(bell: &OwnedFd, ring: &Ring) -> bool {
    let mut both = [
        PollFd::new(bell, PollFlags::IN),
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
        if both[0].revents().contains(PollFlags::IN) {
            return false;
        }
    }
    true
}
