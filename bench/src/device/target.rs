//! Devices to be measured.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::nbd::Connection;
use super::nbdkit::Nbdkit;
use crate::daemon::Daemon;
use crate::direct::Disk;
use crate::ours::Policy;
use crate::zram::Zram;
use anyhow::Result;

/// A device that can be had.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A zram device with an algorithm.
    Zram(String),
    /// One that is there already, and what it is called.
    Given(String, PathBuf),
    /// nbdkit's memory disk, by its socket.
    Nbdkit,
    /// Ours.
    Ours(Policy),
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::Zram(algorithm) => format!("zram {algorithm}"),
            Kind::Given(name, _) => name.clone(),
            Kind::Nbdkit => "nbdkit zstd (socket)".into(),
            Kind::Ours(policy) => policy.to_string(),
        }
    }
}

/// How pages reach a device.
#[derive(Debug)]
pub(crate) enum Access {
    /// As a block device, by direct I/O.
    Disk(Disk),
    /// By a socket.
    Socket(Connection<UnixStream>),
}

/// A device. When it is dropped, what was made is gone. The fields are dropped in their order:
/// closed first.
#[derive(Debug)]
pub(crate) struct Target {
    access: Access,
    _owner: Owner,
}

/// What keeps a device there.
#[derive(Debug)]
enum Owner {
    Zram { _zram: Zram },
    Nobody,
    Daemon { _daemon: Daemon },
    Nbdkit { _nbdkit: Nbdkit },
}

impl Target {
    /// A device of `bytes`, or the one that was given.
    ///
    /// # Errors
    /// Where the system lacks what it needs.
    pub(crate) fn new(kind: &Kind, bytes: u64) -> Result<Target> {
        let (node, _owner) = match kind {
            Kind::Zram(algorithm) => {
                let zram = Zram::new(algorithm, bytes)?;
                (zram.node(), Owner::Zram { _zram: zram })
            }
            Kind::Given(_, node) => (node.clone(), Owner::Nobody),
            Kind::Ours(policy) => {
                let mut daemon = Daemon::start(*policy)?;
                let node = daemon.make_disk(bytes)?;
                (node, Owner::Daemon { _daemon: daemon })
            }
            Kind::Nbdkit => {
                let (nbdkit, connection) = Nbdkit::start(bytes)?;
                return Ok(Target {
                    access: Access::Socket(connection),
                    _owner: Owner::Nbdkit { _nbdkit: nbdkit },
                });
            }
        };
        Ok(Target {
            access: Access::Disk(Disk::open(&node)?),
            _owner,
        })
    }

    /// How pages reach it.
    pub(crate) fn access(&mut self) -> &mut Access {
        &mut self.access
    }
}
