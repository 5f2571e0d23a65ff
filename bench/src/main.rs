//! Measures compcache beside its peers: one subcommand a subject.
//!
//! Times on a shared machine say little, so each subject runs its contenders in alternating
//! rounds and gives every speed as a ratio to a peer's in the same round too.

mod capture;
mod codec;
mod contender;
mod direct;
mod files;
mod interrupt;
mod machine;
mod pool;
mod programs;
mod random;
mod report;
mod stat;
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
}

fn main() -> ExitCode {
    match run(&Args::parse().subject) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compcache-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(subject: &Subject) -> Result<()> {
    interrupt::catch()?;
    match subject {
        Subject::Codec(args) => show(&codec::run(args)?, args.common.json),
        Subject::Pool(args) => show(&pool::run(args)?, args.common.json),
    }
}
