//! What users set, with its names and limits. What it comes to is decided by those whose settings
//! these are.

mod backing_encryption;
mod channel;
mod choice;
mod cpu_latency;
mod dead_slots;
mod driver;
pub(crate) mod recompress;

pub use backing_encryption::BackingEncryption;
pub use channel::Channel;
pub use choice::UnknownChoice;
pub use compcache_engine::disk::{AFTER_SECONDS, CPU_PERCENT};
pub use cpu_latency::{CpuLatencySetting, UnknownCpuLatency};
pub use dead_slots::DeadSlots;
pub use driver::DriverChoice;
pub use recompress::{ColdCodec, OutOfRange, Recompress};
