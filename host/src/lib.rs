//! What the engine asks of Linux: memory in memfds, locks, time, and background threads.
//!
//! Shared by those who hold pages: the ramzswap device and the compressed page cache.
#![cfg(target_os = "linux")]

pub mod keeper;
pub mod memory;
pub mod sched;
