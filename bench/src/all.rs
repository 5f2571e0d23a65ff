//! `all`: every subject with its own defaults.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use clap::{Args, Command, FromArgMatches};
use serde::Serialize;

use crate::codec::{self, CodecArgs, CodecReport};
use crate::device::{self, DeviceArgs, DeviceReport};
use crate::files::{self, FilesArgs, FilesReport};
use crate::plot::Plots;
use crate::pool::{self, PoolArgs, PoolReport};
use crate::report::{Common, PlotArgs, Report};
use crate::swap::{self, SwapArgs, SwapReport};

/// Does all of the others, with one, two and four processes that swap
#[derive(Debug, Args)]
pub(crate) struct AllArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct AllReport {
    codec: CodecReport,
    pool: PoolReport,
    swap: SwapReport,
    device: DeviceReport,
    files: FilesReport,
}

pub(crate) fn run(args: &AllArgs) -> Result<AllReport> {
    let quick = args.common.quick;
    Ok(AllReport {
        codec: codec::run(&defaults::<CodecArgs>(quick, &[])?)?,
        pool: pool::run(&defaults::<PoolArgs>(quick, &[])?)?,
        swap: swap::run(&defaults::<SwapArgs>(quick, &["--processes", "1,2,4"])?)?,
        device: device::run(&defaults::<DeviceArgs>(quick, &[])?)?,
        files: files::run(&defaults::<FilesArgs>(quick, &[])?)?,
    })
}

/// The options of a subject as if only these had been given.
fn defaults<T: Args + FromArgMatches>(quick: bool, options: &[&str]) -> Result<T> {
    let quick = quick.then_some("--quick");
    let line = ["all"].iter().chain(&quick).chain(options);
    let matches = T::augment_args(Command::new("all")).try_get_matches_from(line)?;
    Ok(T::from_arg_matches(&matches)?)
}

impl Plots for AllReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        self.codec.plot(directory)?;
        self.pool.plot(directory)?;
        self.swap.plot(directory)?;
        self.files.plot(directory)
    }
}

impl Report for AllReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "== codec ==\n")?;
        self.codec.print(out)?;
        writeln!(out, "\n== pool ==\n")?;
        self.pool.print(out)?;
        writeln!(out, "\n== swap ==\n")?;
        self.swap.print(out)?;
        writeln!(out, "\n== device ==")?;
        self.device.print(out)?;
        writeln!(out, "\n== files ==\n")?;
        self.files.print(out)
    }
}
