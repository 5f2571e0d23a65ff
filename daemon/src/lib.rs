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
//!
//! # Locks, outermost first
//!
//! | lock | in | guards | held over |
//! |---|---|---|---|
//! | `state` of the server | `server/mod.rs` | connections, and whether more are served | no wait |
//! | `leased` of a driver | `lease.rs` | the leased device and its holders | swap-on, swap-off |
//! | the file `kernel.lock` | the device crate | setting up kernel devices, among processes | set-up, swap-on |
//! | `changing` of a device | `registry.rs` | who changes it | set-up, swap-on, swap-off, reset |
//! | a device's own | the device crate | its parameters, and what serves it | set-up, swap-on, reset |
//! | `gone` of a mount | `mounts/mod.rs` | who takes it out of the table | unmounting, writing out |
//! | `remaking` | `worker/mounts/mod.rs` | making mounts again | process starts, pauses |
//! | `starting` | `worker/mounts/mod.rs` | starting the process of the mounts | its start |
//! | `table` of the mounts | `mounts/mod.rs` | mounts by path | no wait |
//! | `state` of the supervisor | `worker/mounts/mod.rs` | the process, and all records | no wait |
//! | `place` of a record | `worker/mounts/record.rs` | its phase | no wait |
//!
//! No thread waits for a lock while it holds another of the same kind; whoever looks for a free device tries the
//! others. No lock of mounts is taken under one of devices, nor the other way round.
//! What is called at the end of a mount may be called under `gone`: it sends an event, and takes no lock.
//!
//! All others are innermost: `aborted` and `losses` of the mounts, `news`, `on_end` of a record, `idle`, `quick` and
//! `gone` of a worker, `TURN` of dead mounts. `quick` is held for up to 3 s, for an answer of the process;
//! `TURN` over an unmount. In the process of the mounts, `mounts` (`worker/serve.rs`) is outside
//! of all locks of a mount's contents.
#![cfg(target_os = "linux")]

pub mod args;
pub mod backend;
mod bring_up;
mod clean_start;
pub mod client;
pub mod config;
mod confinement;
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
