//! Types of devices and mounts that travel in the control protocol, as their crates define them.

pub use compcache_device::backing_encryption::BackingEncryption;
pub use compcache_device::cpu_latency::{CpuLatency, CpuLatencySetting};
pub use compcache_device::freed::DeadSlots;
pub use compcache_device::kernel::DriverChoice;
pub use compcache_device::status::{DeviceStats, DeviceStatus, Driver, State, SwapUse};
pub use compcache_device::swap::MAX_PRIORITY;
pub use compcache_device::transport::fuse_loop::Channel;
pub use compcache_device::{DeviceError, ParamsUpdate};
pub use compcache_files::{Ending, Loss, MountStatus};
