//! Whose turn it is to use the machine.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::interrupt;

/// The lock that everything takes which uses the machine's swap, zram or page cache, the
/// end-to-end tests too.
const LOCK: &str = "/tmp/compcache-tests.lock";

/// How often the lock is asked for: flock(2) cannot wait for a signal too.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The right to use these, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until nobody else of compcache's uses the machine.
    ///
    /// # Errors
    /// Where the lock file cannot be made, or after Ctrl-C.
    pub(crate) fn wait() -> Result<Turn> {
        let lock = File::create(LOCK).with_context(|| format!("cannot create {LOCK}"))?;
        let mut told = false;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Turn { _lock: lock }),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot lock {LOCK}")),
            }
            if !told {
                eprintln!("waiting for whoever holds {LOCK}");
                told = true;
            }
            interrupt::pause(LOOK_EVERY)?;
        }
    }
}
