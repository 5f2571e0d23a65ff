//! `compcached`: the daemon of compcache as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use compcached::DaemonArgs;

/// Serves compressed swap devices, and answers rzscontrol and compcache
#[derive(Debug, Parser)]
#[command(name = "compcached", version)]
struct Cli {
    #[command(flatten)]
    daemon: DaemonArgs,
}

fn main() -> ExitCode {
    compcached::distrust_environment();
    compcached::run(Cli::parse().daemon)
}
