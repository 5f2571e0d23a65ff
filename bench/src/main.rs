//! Measures compcache beside its peers: one subcommand a subject.
//!
//! Times on a shared machine say little, so each subject runs its contenders in alternating
//! rounds and gives every speed as a ratio to a peer's in the same round too.

mod all;
mod capture;
mod codec;
mod contender;
mod daemon;
mod device;
mod direct;
mod files;
mod histogram;
mod interrupt;
mod machine;
mod pool;
mod programs;
mod random;
mod report;
mod stat;
mod swap;
mod zram;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::show;

/// Measures compcache beside its peers
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    Codec(codec::CodecArgs),
    Pool(pool::PoolArgs),
    Swap(swap::SwapArgs),
    Device(device::DeviceArgs),
    All(all::AllArgs),
    /// Serves our devices: what `compcached` is
    #[command(hide = true)]
    Daemon(compcached::DaemonArgs),
    /// Touches memory that is swapped
    #[command(hide = true)]
    Toucher(swap::ToucherArgs),
}

fn main() -> ExitCode {
    let result = match Args::parse().subject {
        Subject::Daemon(args) => return compcached::run(args),
        Subject::Toucher(args) => swap::touch(&args),
        subject => interrupt::catch().and_then(|()| run(&subject)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compcache-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(subject: &Subject) -> Result<()> {
    match subject {
        Subject::Codec(args) => show(&codec::run(args)?, args.common.json),
        Subject::Pool(args) => show(&pool::run(args)?, args.common.json),
        Subject::Swap(args) => show(&swap::run(args)?, args.common.json),
        Subject::Device(args) => show(&device::run(args)?, args.common.json),
        Subject::All(args) => show(&all::run(args)?, args.common.json),
        Subject::Daemon(_) | Subject::Toucher(_) => Ok(()),
    }
}
