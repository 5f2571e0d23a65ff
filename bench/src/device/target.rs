//! Devices to be measured.

use std::fmt;
use std::path::Path;

use super::nbd::Connection;
use super::nbdkit::Nbdkit;
use crate::daemon::Daemon;
use crate::direct::Disk;
use crate::ours::Policy;
use crate::zram::Zram;
use anyhow::Result;

#[derive(Clone, Debug)]
pub(crate) enum Contender {
    Zram(String),
    Nbdkit,
    Ours(Policy),
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contender::Zram(algorithm) => write!(f, "zram {algorithm}"),
            Contender::Nbdkit => f.write_str("nbdkit zstd (socket)"),
            Contender::Ours(policy) => write!(f, "{policy}"),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Access {
    /// As a block device, by direct I/O.
    Disk(Disk),
    Socket(Connection),
}

/// A device. When it is dropped, what was made is gone. The fields are dropped in their order:
/// closed first.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) access: Access,
    /// What keeps the device there.
    _owner: Box<dyn fmt::Debug>,
}

impl Target {
    pub(crate) fn new(contender: &Contender, bytes: u64) -> Result<Target> {
        let disk = |node: &Path| Disk::open(node).map(Access::Disk);
        let (access, owner): (_, Box<dyn fmt::Debug>) = match contender {
            Contender::Zram(algorithm) => {
                let zram = Zram::new(algorithm, bytes)?;
                (disk(&zram.node())?, Box::new(zram))
            }
            Contender::Ours(policy) => {
                let mut daemon = Daemon::start(*policy)?;
                (disk(&daemon.make_disk(bytes)?)?, Box::new(daemon))
            }
            Contender::Nbdkit => {
                let (nbdkit, connection) = Nbdkit::start(bytes)?;
                (Access::Socket(connection), Box::new(nbdkit))
            }
        };
        Ok(Target {
            access,
            _owner: owner,
        })
    }
}
