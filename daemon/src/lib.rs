//! The daemon of compcache.
//!
//! `compcached` owns the ramzswap devices and the memory behind them, and does what clients
//! ask for on its control socket ([`protocol`], [`client`]). Programs of compcache speak to
//! it through [`client::Client`] only.

pub mod args;
pub mod client;
pub mod protocol;
pub mod types;

pub use args::DaemonArgs;
pub use client::{Client, ClientError};

/// Runs the daemon until it is told to end.
pub fn run(args: DaemonArgs) -> std::process::ExitCode {
    let _ = args;
    eprintln!("compcached: the server is not part of this build");
    std::process::ExitCode::FAILURE
}
