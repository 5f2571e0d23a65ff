//! Our mount, and the daemon that serves it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use compcache_files::status::MountStatus;
use compcached::protocol::{MountSettings, MountSpec, Request, Response};
use compcached::size::Size;

use super::cgroup::Cgroup;
use super::place::{MountPoint, Policy};
use crate::cpu::threads_of;
use crate::daemon::Server;

/// A mount with a daemon of its own. Unmounted when it is dropped; the fields are dropped in
/// their order.
#[derive(Debug)]
pub(crate) struct Mount {
    server: Server,
    directory: MountPoint,
}

impl Mount {
    /// Starts a daemon in the cgroup and has it show `source`, with `cache` bytes of memory for its
    /// pages.
    pub(crate) fn new(cgroup: &Cgroup, source: &Path, policy: Policy, cache: u64) -> Result<Mount> {
        let directory = MountPoint::new()?;
        let mut server = Server::start(&[], |command| cgroup.hold(command))?;
        let spec = MountSpec {
            source: Some(fs::canonicalize(source)?),
            mountpoint: directory.path().to_owned(),
            settings: MountSettings {
                cache: Some(Size::Bytes(cache)),
                codec: Some(policy.codec.to_string()),
                write_back: Some(policy.write_back),
                ..MountSettings::default()
            },
        };
        server.request(&Request::Mount { spec })?;
        Ok(Mount { server, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn status(&mut self) -> Result<MountStatus> {
        match self.server.request(&Request::Mounts)? {
            Response::Mounts { mut mounts, .. } if mounts.len() == 1 => Ok(mounts.remove(0)),
            other => bail!("the daemon answers {other:?}"),
        }
    }

    /// The daemon, and its process that serves the mount.
    pub(crate) fn servers(&mut self) -> Result<[u32; 2]> {
        match self.server.request(&Request::Status { device: None })? {
            Response::Status { daemon, .. } => {
                Ok([daemon.pid, daemon.mount_pid.context("nobody serves it")?])
            }
            other => bail!("the daemon answers {other:?}"),
        }
    }

    /// CPU time of both.
    pub(crate) fn cpu_s(&mut self) -> Result<f64> {
        let ns: u64 = self.servers()?.into_iter().map(threads_of).sum();
        Ok(ns as f64 / 1e9)
    }

    /// Unmounts it: everything that was written is in the source then.
    pub(crate) fn end(mut self) -> Result<()> {
        let mountpoint = self.directory().to_owned();
        let lazy = false;
        self.server
            .request(&Request::Unmount { mountpoint, lazy })
            .map(drop)
            .context("cannot unmount ours")
    }
}
