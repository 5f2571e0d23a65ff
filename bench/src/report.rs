//! What a subject prints.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use fs_err as fs;
use serde::Serialize;

use crate::plot::Plots;

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

/// The option of subjects that can be drawn.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlotArgs {
    /// Draws the result into SVG files in this directory, which is created if missing
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

impl PlotArgs {
    /// Draws a report if that was asked for.
    pub(crate) fn draw(&self, report: &impl Plots) -> Result<()> {
        let Some(directory) = &self.plot else {
            return Ok(());
        };
        fs::create_dir_all(directory)?;
        report.plot(directory)
    }
}

pub(crate) trait Report: Serialize {
    fn print(&self, out: &mut dyn Write) -> io::Result<()>;
}

pub(crate) fn show(report: &impl Report, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    Ok(())
}

/// A whole number of 1 or more, for options.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a whole number of 1 or more".into())
}
