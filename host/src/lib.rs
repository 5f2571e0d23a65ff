//! What the engine and its servers ask of Linux: memory in memfds, locks, time, background
//! threads, descriptors in place of paths, names made printable, counts that processes share, and the
//! kernel's own tables: memory, mounts, memory cgroups, memory pressure, loop devices.
//!
//! Shared by those who hold pages: the ramzswap device and the compressed page cache.
#![cfg(target_os = "linux")]

mod background;
pub mod block;
pub mod cgroup;
pub mod counts;
pub mod descriptor;
pub mod keeper;
mod mapping;
pub mod maps;
pub mod meminfo;
pub mod memory;
pub mod mountinfo;
pub mod overcommit;
pub mod pressure;
pub mod printable;
pub mod proc;
pub mod remedy;
pub mod sched;
pub mod zswap;

pub use background::{Background, spawn_detached};
pub use mapping::Mapping;
