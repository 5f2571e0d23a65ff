//! The FUSE and loop transport: the disk is a file of a FUSE mount, which a loop device with
//! direct I/O makes a block device. It works on every kernel from 5.8 on, without modules
//! beyond `fuse` and `loop`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fuse::Server;
use super::loopdev::LoopDevice;
use super::{Attachment, DetachError, Transport};
use crate::disk::Disk;
use crate::error::DeviceError;

/// A file of a FUSE mount, made a block device by a loop device.
pub struct FuseLoop {
    runtime_dir: PathBuf,
    workers: usize,
}

impl FuseLoop {
    /// Mounts under `runtime_dir` and serves each disk with `workers` threads (at least one).
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
        disk: Arc<dyn Disk>,
        name: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn Attachment>, DeviceError> {
        let path = self.runtime_dir.join(name);
        let server = Server::start(&disk, &path, name, self.workers, warnings)?;
        let file = server.open_file()?;
        let device = LoopDevice::attach(&file, name)?;
        let path = device.path().to_owned();
        Ok(Box::new(Attached {
            device: Some(device),
            server,
            path,
        }))
    }
}

/// A served disk. The fields are dropped in this order: the loop device lets go of the file
/// before it is unmounted.
struct Attached {
    /// `None` once it is detached.
    device: Option<LoopDevice>,
    server: Server,
    path: PathBuf,
}

impl Attachment for Attached {
    fn block_device(&self) -> &Path {
        &self.path
    }

    fn detach(&mut self) -> Result<(), DetachError> {
        let detached = match self.device.as_mut().map_or(Ok(()), LoopDevice::detach) {
            Err(DetachError::Busy) => return Err(DetachError::Busy),
            other => other,
        };
        // The last close: the kernel lets go of the file before it returns, unless the block
        // device is open elsewhere. Requests of such a user fail from here on.
        self.device = None;
        let stopped = self.server.stop().map_err(DetachError::Leftover);
        detached.and(stopped)
    }
}
