//! The FUSE and loop transport: the disk is a file of a FUSE mount, which a loop device with
//! direct I/O makes a block device. It works on every kernel from 5.8 on, without modules
//! beyond `fuse` and `loop`; from 6.14 on, requests can come over io_uring.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::fuse::{Job, Server, parameter};
use super::loopdev::LoopDevice;
use super::{Attachment, DetachError, Transport};
use crate::disk::Disk;
use crate::error::DeviceError;
use crate::warning::Warning;

/// By which channel requests come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// io_uring if the kernel offers it by itself (`/sys/module/fuse/parameters/enable_uring`
    /// is `Y`) and it works, otherwise the classic channel.
    #[default]
    Auto,
    /// The classic channel: `/dev/fuse` is read and written.
    Fuse,
    /// io_uring, or failure. The kernel's parameter is switched on for the moment in which a
    /// device is initialised.
    FuseUring,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 3] = [Channel::Auto, Channel::Fuse, Channel::FuseUring];

    /// Its name, as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Auto => "auto",
            Channel::Fuse => "fuse",
            Channel::FuseUring => "fuse-uring",
        }
    }

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

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A transport that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no transport \"{0}\": give auto, fuse or fuse-uring")]
pub struct UnknownChannel(String);

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(name: &str) -> Result<Self, UnknownChannel> {
        Channel::ALL
            .into_iter()
            .find(|channel| channel.name() == name)
            .ok_or_else(|| UnknownChannel(name.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_names() {
        for channel in Channel::ALL {
            assert_eq!(channel.to_string().parse(), Ok(channel));
        }
        let error = "nbd".parse::<Channel>().unwrap_err().to_string();
        assert!(
            error.contains("\"nbd\": give auto, fuse or fuse-uring"),
            "{error}"
        );
    }
}
