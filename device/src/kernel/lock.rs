//! Serialises the set-up of the driver's devices among processes.
//!
//! To find a device that nobody uses, set its parameters and initialise it takes several steps,
//! which the driver does not join. Two programs that took the same device would mix their
//! parameters, and the one that comes too late would reset what the other has initialised.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use rustix::fs::{FlockOperation, flock};

use super::root::Root;
use crate::error::DeviceError;

/// The lock's directory and file, below `/run`.
const DIRECTORY: &str = "compcache";
const FILE: &str = "kernel.lock";

/// The right to set up kernel devices, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Root {
    /// Waits for the right to set up kernel devices. Not to be held over a swap-off.
    ///
    /// # Errors
    /// [`DeviceError::System`] if the lock's file can't be made: only root may.
    pub fn lock(&self) -> Result<Lock, DeviceError> {
        let directory = self.run.join(DIRECTORY);
        let path = directory.join(FILE);
        let failed = |e: std::io::Error| {
            DeviceError::system(
                format!("lock {}", path.display()),
                e,
                "only root may set up devices",
            )
        };
        if !directory.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&directory)
                .map_err(failed)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        Ok(Lock { _file: file })
    }
}
