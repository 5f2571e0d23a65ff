//! What a device is and has done, as it is sent to clients and printed.

use std::path::PathBuf;

use compcache_engine::stats::Stats;
use serde::{Deserialize, Serialize};

use crate::freed::Freeing;
use crate::params::ParamsUpdate;
use crate::swap;

/// Whether a device is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Takes parameters; has no block device.
    New,
    /// Initialised; its block device is there.
    Ready,
}

/// What serves a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel driver, `ramzswap.ko`.
    Kernel,
    /// A process: the daemon.
    User,
}

/// A device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The `N` of `ramzswapN`.
    pub number: u32,
    /// What serves it.
    pub driver: Driver,
    /// Whether it is initialised.
    pub state: State,
    /// By which users name the device, `/dev/ramzswapN`: a symlink, which exists while ready; of
    /// the kernel driver the block device itself.
    pub node: PathBuf,
    /// Why the device does not work although it is ready; `None` if it does.
    #[serde(default)]
    pub error: Option<String>,
    /// The block device that the kernel knows, such as `/dev/loop3`; while ready.
    pub block_device: Option<PathBuf>,
    /// The transport that serves it, `fuse`, `fuse-uring` or `kernel`; while ready.
    pub transport: Option<String>,
    /// When slots that the kernel frees are freed here; while ready.
    pub dead_slots: Option<Freeing>,
    /// Its use as swap; `None` while it is not swapped on.
    pub swap: Option<SwapUse>,
    /// The parameters that were set by the user.
    pub params: ParamsUpdate,
    /// Size of the disk in bytes; 0 while new and no size was set.
    pub disksize: u64,
    /// Most bytes of memory for pages; only with a backing swap.
    pub memlimit: Option<u64>,
    /// The backing swap.
    pub backing_swap: Option<PathBuf>,
    /// What encrypts the pages there, `aes-256-gcm`, `chacha20-poly1305` or `off`; while ready, with a
    /// backing swap.
    pub backing_encryption: Option<String>,
    /// The codec for new pages, as [`compcache_engine::CodecSpec`] prints it.
    pub codec: String,
    /// The codec with which cold pages are recompressed, or `off`.
    pub recompress: String,
    /// How long a page is neither read nor written before it is cold, in seconds.
    pub recompress_after: u32,
    /// The share of one CPU that recompression may use, in per cent.
    pub recompress_cpu: u32,
    /// Counters and gauges; all zero while new.
    pub stats: DeviceStats,
}

/// How the kernel uses a device as swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapUse {
    /// Its priority; higher ones fill first.
    pub priority: i32,
    /// Bytes of swap in use.
    pub used_bytes: u64,
    /// Bytes of swap in all.
    pub size_bytes: u64,
}

impl From<swap::Entry> for SwapUse {
    fn from(entry: swap::Entry) -> SwapUse {
        SwapUse {
            priority: entry.priority,
            used_bytes: entry.used_bytes,
            size_bytes: entry.size_bytes,
        }
    }
}

/// A device's counters (they never go back) and gauges (what is held now).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceStats {
    /// What its store counts.
    #[serde(flatten)]
    pub store: Stats,
    /// Counter: requests refused because they were not whole pages of the disk.
    pub invalid_io: u64,
    /// Counter: CPU time of recompression, in nanoseconds.
    pub recompress_cpu_ns: u64,
}
