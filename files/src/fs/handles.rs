//! The kernel's file handles.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fuser::FileHandle;
use parking_lot::RwLock;

/// What the kernel has open, by the number that it was given.
#[derive(Debug)]
pub(super) struct Handles<T> {
    next: AtomicU64,
    /// Innermost: what is taken out is dropped without it.
    open: RwLock<HashMap<u64, Arc<T>>>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles {
            next: AtomicU64::new(1),
            open: RwLock::default(),
        }
    }
}

impl<T> Handles<T> {
    /// Gives out a number, and says whether there is no other.
    pub(super) fn insert(&self, value: T) -> (FileHandle, bool) {
        let number = self.next.fetch_add(1, Relaxed);
        let mut open = self.open.write();
        open.insert(number, Arc::new(value));
        (FileHandle(number), open.len() == 1)
    }

    /// All that is open.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.open.read().values().cloned().collect()
    }

    /// What has the number.
    ///
    /// # Errors
    /// EBADF if nothing has.
    pub(super) fn get(&self, handle: FileHandle) -> io::Result<Arc<T>> {
        let found = self.open.read().get(&handle.0).cloned();
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    /// Takes a number back.
    pub(super) fn remove(&self, handle: FileHandle) -> Option<Arc<T>> {
        self.open.write().remove(&handle.0)
    }
}
