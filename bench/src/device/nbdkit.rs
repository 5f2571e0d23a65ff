//! nbdkit's memory disk, as a peer. This kernel may have no NBD driver, so it is reached by its
//! socket: what a block device would add on top is missing.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::nbd::Connection;
use crate::process::{self, Running};

pub(super) fn is_installed() -> bool {
    process::output(Command::new("nbdkit").arg("--version")).is_ok()
}

/// A server of one connection; it ends with that.
#[derive(Debug)]
pub(super) struct Nbdkit {
    _server: Running,
}

impl Nbdkit {
    /// A disk of `bytes` that compresses with zstd, and the connection to it.
    pub(super) fn start(bytes: u64) -> Result<(Nbdkit, Connection)> {
        let (ours, theirs) = UnixStream::pair()?;
        let input = OwnedFd::from(theirs.try_clone()?);
        let server = Running::start(
            Command::new("nbdkit")
                .args(["--single", "--foreground", "memory"])
                .arg(format!("size={bytes}"))
                .arg("allocator=zstd")
                .stdin(Stdio::from(input))
                .stdout(Stdio::from(OwnedFd::from(theirs))),
        )?;
        let connection = Connection::new(ours).context("nbdkit")?;
        let size = connection.bytes;
        ensure!(size == bytes, "nbdkit serves {size} bytes, not {bytes}");
        Ok((Nbdkit { _server: server }, connection))
    }
}
