//! Where and by what devices are made.

use std::path::PathBuf;
use std::sync::Arc;

use compcache_host::proc::ram_bytes;

use crate::cpu_latency::CpuLatency;
use crate::settings::{Channel, DeadSlots};
use crate::transport::Transport;
use crate::transport::fuse_loop::FuseLoop;

/// What all devices of a process share.
#[derive(Clone)]
pub struct Env {
    /// Where mount points are made; default `/run/compcache`.
    pub runtime_dir: PathBuf,
    /// Where the symlinks `ramzswapN` are made; default `/dev`.
    pub dev_dir: PathBuf,
    /// Threads that serve one device.
    pub workers: usize,
    /// The machine's memory in bytes, of which defaults and warnings are shares.
    pub ram_bytes: u64,
    /// How the kernel reaches the devices.
    pub transport: Arc<dyn Transport>,
    /// What keeps idle CPUs quick to wake while devices are busy.
    pub cpu_latency: Option<Arc<CpuLatency>>,
    /// When dead slots are freed.
    pub dead_slots: DeadSlots,
}

impl Env {
    /// The runtime directory, if nothing else was chosen.
    pub const RUNTIME_DIR: &str = "/run/compcache";
    /// The directory of the symlinks, if nothing else was chosen.
    pub const DEV_DIR: &str = "/dev";

    /// The default but for the directories: as many workers as CPUs but 2 to 8, the memory of
    /// this machine, the FUSE and loop transport by the channel that fits the kernel; idle
    /// states of CPUs are left alone.
    pub fn new(runtime_dir: impl Into<PathBuf>, dev_dir: impl Into<PathBuf>) -> Self {
        let runtime_dir = runtime_dir.into();
        let workers = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
        Env {
            transport: Arc::new(FuseLoop::new(runtime_dir.clone(), workers, Channel::Auto)),
            runtime_dir,
            dev_dir: dev_dir.into(),
            cpu_latency: None,
            dead_slots: DeadSlots::Auto,
            workers,
            ram_bytes: ram_bytes(),
        }
    }
}

impl Env {
    /// The same, served by another number of threads (`None`: as many) and channel.
    #[must_use]
    pub fn served_by(mut self, workers: Option<usize>, channel: Channel) -> Self {
        self.workers = workers.unwrap_or(self.workers);
        self.transport = Arc::new(FuseLoop::new(
            self.runtime_dir.clone(),
            self.workers,
            channel,
        ));
        self
    }
}

impl Default for Env {
    fn default() -> Self {
        Env::new(Self::RUNTIME_DIR, Self::DEV_DIR)
    }
}
