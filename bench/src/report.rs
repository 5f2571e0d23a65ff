//! What a subject prints.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use fs_err as fs;
use serde::Serialize;

/// Options that every subject has.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Common {
    /// Prints JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Shows that everything works, in seconds; the numbers mean nothing
    #[arg(long)]
    pub(crate) quick: bool,
}

impl Common {
    /// What is had in a quick run, or else.
    pub(crate) fn choose<T>(self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// The option of subjects that can be drawn.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlotArgs {
    /// Draws the result into SVG files in this directory, which is created if missing
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

pub(crate) trait Report {
    fn print(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Draws it into files of fixed names in a directory that is there.
    fn plot(&self, _directory: &Path) -> Result<()> {
        Ok(())
    }
}

/// Draws a report if that was asked for, and prints it in any case: hours may be in it.
pub(crate) fn show(
    report: &(impl Report + Serialize),
    common: Common,
    plot: &PlotArgs,
) -> Result<()> {
    let drawn = plot.plot.as_ref().map_or(Ok(()), |directory| {
        fs::create_dir_all(directory)?;
        report.plot(directory)
    });
    let mut out = io::stdout().lock();
    if common.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    drawn
}

/// Says on standard error why something could not be taken down, which nobody else is told.
pub(crate) fn complain(taken_down: Result<()>) {
    if let Err(error) = taken_down {
        eprintln!("compcache-bench: {error:#}");
    }
}

/// A whole number of 1 or more, for options.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a whole number of 1 or more".into())
}
