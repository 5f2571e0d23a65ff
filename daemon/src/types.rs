//! Types of devices and mounts that travel in the control protocol, as their crates define them.

use compcache_device::settings::{AFTER_SECONDS, CPU_PERCENT};
use compcache_device::swap::MAX_PRIORITY;

use crate::integer::Numbers;

pub use compcache_device::cpu_latency::CpuLatency;
pub use compcache_device::settings::{
    BackingEncryption, Channel, CpuLatencySetting, DeadSlots, DriverChoice,
};
pub use compcache_device::status::{DeviceStats, DeviceStatus, Driver, State, SwapUse};
pub use compcache_device::{DeviceError, ParamsUpdate};
pub use compcache_files::{Ending, Loss, MountStatus, Writes};

/// Priorities of a swap area.
pub const PRIORITY: Numbers = Numbers::new(0, MAX_PRIORITY as i64);
/// After how many seconds without access a page may be cold.
pub const RECOMPRESS_AFTER: Numbers = Numbers::of(&AFTER_SECONDS, "seconds");
/// The shares of one CPU for recompression.
pub const RECOMPRESS_CPU: Numbers = Numbers::of(&CPU_PERCENT, "per cent");
