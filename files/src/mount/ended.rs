//! The end of a mount, to be waited for.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Whether a mount is gone.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Innermost. Once set it stays.
    set: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    /// It is gone.
    fn set(&self) {
        *self.set.lock() = true;
        self.changed.notify_all();
    }

    /// Whether it is gone.
    pub(super) fn is_set(&self) -> bool {
        *self.set.lock()
    }

    /// Waits until it is gone.
    pub(super) fn wait(&self) {
        let mut set = self.set.lock();
        while !*set {
            self.changed.wait(&mut set);
        }
    }
}

/// Says that a mount is gone when this is dropped, be it by a panic.
#[derive(Debug)]
pub(super) struct OnDrop(pub(super) Arc<Ended>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}
