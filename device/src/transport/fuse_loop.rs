//! The FUSE and loop transport.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Attachment, Transport};
use crate::disk::Disk;
use crate::error::DeviceError;

/// A file of a FUSE mount, made a block device by a loop device.
pub struct FuseLoop {
    runtime_dir: PathBuf,
    workers: usize,
}

impl FuseLoop {
    /// Mounts under `runtime_dir` and serves each disk with `workers` threads.
    #[must_use]
    pub fn new(runtime_dir: PathBuf, workers: usize) -> Self {
        FuseLoop {
            runtime_dir,
            workers: workers.max(1),
        }
    }
}

impl Transport for FuseLoop {
    fn name(&self) -> &'static str {
        "fuse-loop"
    }

    fn attach(
        &self,
        _disk: Arc<dyn Disk>,
        _name: &str,
        _warnings: &mut Vec<String>,
    ) -> Result<Box<dyn Attachment>, DeviceError> {
        Err(DeviceError::system(
            format!(
                "mount {} for {} workers",
                self.runtime_dir.display(),
                self.workers
            ),
            std::io::Error::from_raw_os_error(libc::ENOSYS),
            "",
        ))
    }
}
