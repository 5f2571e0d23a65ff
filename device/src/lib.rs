//! The ramzswap block device: a compressed swap disk over the engine of compcache.
//!
//! A [`Device`] is configured, initialised and reset by the rules of the original ramzswap
//! ([`params`]); [`settings`] has the names and limits of what users choose. Once it is ready, a
//! [`transport`] shows its [`disk`] to the kernel as a block device, and the symlink
//! `DEV_DIR/ramzswapN` leads to it. Pages that do not compress or do not fit go to a
//! [`backing_swap`]. [`freed`] learns at once of the slots that the kernel frees, if it can. [`swap`]
//! speaks to the kernel's swap code, and [`recover`] removes what a crashed process left behind.
//! [`kernel`] finds the kernel driver; a [`KernelDevice`] of it is set up by the same parameters.
#![cfg(target_os = "linux")]

pub mod backing_swap;
pub mod cpu_latency;
pub mod device;
pub mod disk;
mod disk_error;
pub mod error;
mod failures;
pub mod freed;
pub mod kernel;
pub mod kernel_device;
mod node;
pub mod params;
pub mod pool_size;
mod recompress;
pub mod recover;
pub mod settings;
pub mod status;
pub mod swap;
mod swap_device;
pub mod swapoff;
pub mod transport;
pub mod warning;

pub use device::{Device, Env};
pub use error::DeviceError;
pub use kernel_device::KernelDevice;
pub use params::{Params, ParamsUpdate};
pub use status::DeviceStatus;
pub use swap_device::SwapDevice;
pub use warning::Warning;
