//! `all`: every subject with its own defaults.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use clap::{Args, Command, FromArgMatches};
use serde::Serialize;

use crate::codec::{self, CodecArgs, CodecReport};
use crate::device::{self, DeviceArgs, DeviceReport};
use crate::files::{self, FilesArgs, FilesReport};
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

impl AllReport {
    /// All of them, each below its heading.
    fn parts(&self) -> [(&'static str, &dyn Report); 5] {
        [
            ("== codec ==\n", &self.codec),
            ("\n== pool ==\n", &self.pool),
            ("\n== swap ==\n", &self.swap),
            ("\n== device ==", &self.device),
            ("\n== files ==\n", &self.files),
        ]
    }
}

impl Report for AllReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.parts().into_iter().try_for_each(|(heading, part)| {
            writeln!(out, "{heading}")?;
            part.print(out)
        })
    }

    fn plot(&self, directory: &Path) -> Result<()> {
        let mut parts = self.parts().into_iter();
        parts.try_for_each(|(_, part)| part.plot(directory))
    }
}
