//! The daemon of compcache.
//!
//! `compcached` owns the ramzswap devices, the mounts and the memory behind them, and does what
//! clients ask for on its control socket ([`protocol`], [`client`]). Programs of compcache speak to
//! it through [`client::Client`] only.
//!
//! [`daemon`] starts and ends it; [`server`] answers clients; [`registry`] holds the devices,
//! [`lease`] those of them that live as long as a program does, and [`mounts`] the table of mounts, which
//! are served by a process of their own ([`worker`]). The
//! devices of the kernel driver ([`kernel`]) need no daemon; their rules stand here, so that the
//! programs that set them up have them.
#![cfg(target_os = "linux")]

pub mod args;
pub mod backend;
mod bring_up;
mod clean_start;
pub mod client;
pub mod config;
pub mod daemon;
pub mod driver;
mod environment;
pub mod file_system;
pub mod integer;
pub mod kernel;
pub mod lease;
pub mod logging;
pub mod mounts;
mod own_program;
pub mod process;
pub mod protocol;
pub mod ramzswap;
pub mod registry;
mod retry;
pub mod role;
pub mod runtime_dir;
pub mod server;
mod service_manager;
pub mod settings;
pub mod size;
pub mod swapoff;
pub mod types;
pub mod worker;

pub use args::DaemonArgs;
pub use clean_start::reset_sigchld;
pub use client::{Client, ClientError};
pub use daemon::run;
pub use environment::distrust_environment;
