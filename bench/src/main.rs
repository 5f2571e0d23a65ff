//! Measures compcache beside its peers: one subcommand a subject.
//!
//! Times on a shared machine say little, so each subject runs its contenders in alternating
//! rounds and gives every speed as a ratio to a peer's in the same round too.

mod all;
mod capture;
mod ccache;
mod codec;
mod cpu;
mod daemon;
mod device;
mod direct;
mod directory;
mod file_pages;
mod file_set;
mod files;
mod held;
mod histogram;
mod interrupt;
mod load;
mod machine;
mod mapping;
mod ours;
mod pages;
mod plot;
mod pool;
mod process;
mod programs;
mod report;
mod rounds;
mod stat;
mod sums;
mod swap;
mod table;
mod threads;
mod worker;
mod zram;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::{PlotArgs, show};

/// Measures compcache beside its peers
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    Ccache(ccache::CcacheArgs),
    Codec(codec::CodecArgs),
    Pages(pages::PagesArgs),
    Pool(pool::PoolArgs),
    Swap(swap::SwapArgs),
    Device(device::DeviceArgs),
    Files(files::FilesArgs),
    All(all::AllArgs),
    /// Serves our devices: what `compcached` is
    #[command(hide = true)]
    Daemon(compcached::DaemonArgs),
    /// Touches memory, or reads and writes files
    #[command(hide = true)]
    Load(load::LoadArgs),
}

fn main() -> ExitCode {
    let result = match Args::parse().subject {
        Subject::Daemon(args) => return compcached::run(args),
        Subject::Load(args) => load::run(&args),
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
    let unplotted = &PlotArgs::default();
    match subject {
        Subject::Ccache(args) => show(&ccache::run(args)?, args.common, unplotted),
        Subject::Codec(args) => show(&codec::run(args)?, args.common, &args.plot),
        Subject::Pool(args) => show(&pool::run(args)?, args.common, &args.plot),
        Subject::Swap(args) => show(&swap::run(args)?, args.common, &args.plot),
        Subject::Pages(args) => pages::run(args),
        Subject::Device(args) => show(&device::run(args)?, args.common, unplotted),
        Subject::Files(args) => show(&files::run(args)?, args.common, &args.plot),
        Subject::All(args) => show(&all::run(args)?, args.common, &args.plot),
        Subject::Daemon(_) | Subject::Load(_) => Ok(()),
    }
}
