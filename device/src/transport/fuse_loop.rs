//! The FUSE and loop transport: the disk is a file of a FUSE mount, which a loop device with
//! direct I/O makes a block device. It works on every kernel from 5.8 on, without modules
//! beyond `fuse` and `loop`; from 6.14 on, requests can come over io_uring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fuse::{Job, Server, parameter};
use super::loopdev::LoopDevice;
use super::{Attachment, DetachError, Transport};
use crate::disk::Disk;
use crate::error::DeviceError;
use crate::settings::Channel;
use crate::warning::Warning;

impl Channel {
    /// The channel that a device which is initialised now tries first: what `auto` stands for,
    /// and each of the others itself.
    #[must_use]
    pub fn preferred(self) -> Channel {
        match self {
            Channel::Auto if parameter::is_on() => Channel::FuseUring,
            Channel::Auto => Channel::Fuse,
            other => other,
        }
    }

    /// Whether the kernel has what it needs; whether this process may use it is another
    /// question.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self != Channel::FuseUring || parameter::exists()
    }
}

/// A file of a FUSE mount, made a block device by a loop device.
pub struct FuseLoop {
    runtime_dir: PathBuf,
    workers: usize,
    channel: Channel,
}

impl FuseLoop {
    /// Mounts under `runtime_dir` and serves each disk by `channel` with `workers` threads (at
    /// least one).
    #[must_use]
    pub fn new(runtime_dir: PathBuf, workers: usize, channel: Channel) -> Self {
        FuseLoop {
            runtime_dir,
            workers: workers.max(1),
            channel,
        }
    }

    /// Mounts and serves; gives the channel that it became, and why it is not the faster one if
    /// that was tried.
    fn serve(&self, job: Job<'_>) -> Result<(Server, Channel, Option<Warning>), DeviceError> {
        let mut warning = None;
        if self.channel.preferred() == Channel::FuseUring {
            let switch_on = self.channel == Channel::FuseUring;
            match Server::uring(job, switch_on) {
                Ok(server) => return Ok((server, Channel::FuseUring, None)),
                Err(error) if switch_on => return Err(error),
                Err(error) => {
                    let reason = error.to_string();
                    warning = Some(Warning::ClassicChannel { reason });
                }
            }
        }
        Ok((Server::classic(job)?, Channel::Fuse, warning))
    }
}

impl Transport for FuseLoop {
    fn attach(&self, disk: Arc<dyn Disk>, name: &str) -> Result<Box<dyn Attachment>, DeviceError> {
        let job = Job {
            disk: &disk,
            path: &self.runtime_dir.join(name),
            name,
            workers: self.workers,
        };
        let (server, channel, warning) = self.serve(job)?;
        let not_locked = server.locked().err().map(Warning::from);
        let file = server.open_file()?;
        let device = LoopDevice::attach(&file, name)?;
        let path = device.path().to_owned();
        Ok(Box::new(Attached {
            device: Some(device),
            server,
            path,
            channel,
            warnings: warning.into_iter().chain(not_locked).collect(),
        }))
    }
}

/// A served disk. The fields are dropped in this order: the loop device releases the file
/// before it is unmounted.
struct Attached {
    /// `None` once it is detached.
    device: Option<LoopDevice>,
    server: Server,
    path: PathBuf,
    channel: Channel,
    warnings: Vec<Warning>,
}

impl Attachment for Attached {
    fn block_device(&self) -> &Path {
        &self.path
    }

    fn transport(&self) -> &'static str {
        self.channel.name()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn is_served(&self) -> bool {
        self.server.is_serving()
    }

    fn detach(&mut self) -> Result<(), DetachError> {
        let detached = match self.device.as_mut().map_or(Ok(()), LoopDevice::detach) {
            Err(DetachError::Busy) => return Err(DetachError::Busy),
            other => other,
        };
        // The last close: the kernel releases the file before it returns, unless the block
        // device is open elsewhere. Requests of such a user fail from here on.
        self.device = None;
        let stopped = self.server.stop().map_err(DetachError::Leftover);
        detached.and(stopped)
    }
}
