//! What all threads of a server use.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use compcache_host::overcommit::StrictOvercommit;
use compcache_host::zswap::ZswapOn;
use parking_lot::Mutex;

use super::access::Access;
use super::admission::Admission;
use super::event::Event;
use crate::lease::Leases;
use crate::mounts::Mounts;
use crate::protocol::{DaemonStatus, KernelLease};

/// What all threads of a server use.
pub(super) struct Shared {
    pub(super) mounts: Arc<Mounts>,
    /// The daemon's devices, and leases of them.
    pub(super) own: Leases,
    /// Leases of the kernel driver's devices.
    pub(super) kernel: Leases,
    pub(super) access: Access,
    pub(super) events: Sender<Event>,
    /// Outermost: the table of mounts and each device's own lock are taken under it, while no connection is there.
    pub(super) state: Mutex<ServerState>,
    pub(super) started: Instant,
    pub(super) warnings: Vec<String>,
}

#[derive(Default)]
pub(super) struct ServerState {
    pub(super) connections: Admission,
    /// No new connection is served any more.
    pub(super) ending: bool,
}

impl Shared {
    pub(super) fn daemon_status(&self) -> DaemonStatus {
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            mount_pid: self.mounts.pid(),
            num_devices: u32::try_from(self.own.registry().len()).unwrap_or(u32::MAX),
            leases: self.own.count() + self.kernel.count(),
            kernel_lease: self.kernel.device().map(|device| KernelLease {
                device,
                holders: self.kernel.count(),
            }),
            uptime_seconds: self.started.elapsed().as_secs(),
            warnings: self.warnings(),
        }
    }

    /// What a user should know: what was so at the start, and what is so now.
    fn warnings(&self) -> Vec<String> {
        let now = StrictOvercommit::now().map(|strict| strict.to_string());
        let mounts = self.mounts.warnings();
        let zswap = ZswapOn::now().filter(|_| self.own.registry().any_ready());
        let zswap = zswap.map(|zswap| zswap.to_string());
        let start = self.warnings.iter().cloned();
        start.chain(now).chain(zswap).chain(mounts).collect()
    }

    /// Ends this server for new connections if there is no connection, no mount and no device.
    pub(super) fn end_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        state.ending = state.connections.is_empty()
            && self.mounts.is_empty()
            && !self.own.registry().any_ready()
            && self.kernel.device().is_none();
        state.ending
    }
}
