//! Devices to be measured.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::nbd::Connection;
use super::nbdkit::Nbdkit;
use crate::daemon::Daemon;
use crate::direct::Disk;
use crate::ours::Policy;
use crate::zram::Zram;
use anyhow::Result;

/// A device that can be had.
#[derive(Clone, Debug)]
pub(crate) enum Contender {
    /// A zram device with an algorithm.
    Zram(String),
    /// One that is there already, and what it is called.
    Given(String, PathBuf),
    /// nbdkit's memory disk, by its socket.
    Nbdkit,
    /// Ours.
    Ours(Policy),
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contender::Zram(algorithm) => write!(f, "zram {algorithm}"),
            Contender::Given(name, _) => f.write_str(name),
            Contender::Nbdkit => f.write_str("nbdkit zstd (socket)"),
            Contender::Ours(policy) => write!(f, "{policy}"),
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
    /// How pages reach it.
    pub(crate) access: Access,
    _owner: Option<Box<dyn Owner>>,
}

/// What keeps a device there.
trait Owner: fmt::Debug {}

impl Owner for Zram {}
impl Owner for Daemon {}
impl Owner for Nbdkit {}

impl Target {
    /// A device of `bytes`, or the one that was given.
    ///
    /// # Errors
    /// If the system lacks what it needs.
    pub(crate) fn new(contender: &Contender, bytes: u64) -> Result<Target> {
        let disk = |node: &Path| Disk::open(node).map(Access::Disk);
        let (access, owner): (_, Option<Box<dyn Owner>>) = match contender {
            Contender::Zram(algorithm) => {
                let zram = Zram::new(algorithm, bytes)?;
                (disk(&zram.node())?, Some(Box::new(zram)))
            }
            Contender::Given(_, node) => (disk(node)?, None),
            Contender::Ours(policy) => {
                let mut daemon = Daemon::start(*policy)?;
                (disk(&daemon.make_disk(bytes)?)?, Some(Box::new(daemon)))
            }
            Contender::Nbdkit => {
                let (nbdkit, connection) = Nbdkit::start(bytes)?;
                (Access::Socket(connection), Some(Box::new(nbdkit)))
            }
        };
        Ok(Target {
            access,
            _owner: owner,
        })
    }
}
