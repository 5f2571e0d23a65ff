//! The machine: whether this process may use it, and whether nobody else does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fs_err::File;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::interrupt;

/// Whether this process may change the machine's swap and block devices.
pub(crate) fn need_root(subject: &str) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "`{subject}` makes block devices, mounts or cgroups: run it as root"
    );
    Ok(())
}

/// The lock that everything takes which uses the machine's swap, zram or page cache, the
/// end-to-end tests too.
const LOCK: &str = "/tmp/compcache-tests.lock";

/// How often the lock is asked for: flock(2) cannot wait for a signal too.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The right to use these, held until it is dropped.
#[derive(Debug)]
pub(crate) struct MachineLock {
    _lock: File,
}

impl MachineLock {
    /// Waits until nobody else of compcache's uses the machine.
    pub(crate) fn take() -> Result<MachineLock> {
        let lock = File::create(LOCK)?;
        let mut warned = false;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(MachineLock { _lock: lock }),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot lock {LOCK}")),
            }
            if !warned {
                eprintln!("waiting for whoever holds {LOCK}");
                warned = true;
            }
            interrupt::pause(LOOK_EVERY)?;
        }
    }
}
