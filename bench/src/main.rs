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
mod worker;
mod zram;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use plot::Plots;
use report::{Common, PlotArgs, Report, show};

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
    match subject {
        Subject::Ccache(args) => show(&ccache::run(args)?, args.common.json),
        Subject::Codec(args) => present(&codec::run(args)?, args.common, &args.plot),
        Subject::Pool(args) => present(&pool::run(args)?, args.common, &args.plot),
        Subject::Swap(args) => present(&swap::run(args)?, args.common, &args.plot),
        Subject::Pages(args) => pages::run(args),
        Subject::Device(args) => show(&device::run(args)?, args.common.json),
        Subject::Files(args) => present(&files::run(args)?, args.common, &args.plot),
        Subject::All(args) => present(&all::run(args)?, args.common, &args.plot),
        Subject::Daemon(_) | Subject::Load(_) => Ok(()),
    }
}

/// Draws a report if that was asked for, and prints it in any case: hours may be in it.
fn present(report: &(impl Report + Plots), common: Common, plot: &PlotArgs) -> Result<()> {
    let drawn = plot.draw(report);
    show(report, common.json)?;
    drawn
}
