//! Measures compcache beside its peers: one subcommand a subject.
//!
//! Times on a shared machine say little, so each subject runs its contenders in alternating
//! rounds and gives every speed as a ratio to a peer's in the same round too.

mod capture;
mod codec;
mod contender;
mod files;
mod programs;
mod stat;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

fn main() -> ExitCode {
    let result = match Args::parse().subject {
        Subject::Codec(args) => codec::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compcache-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
