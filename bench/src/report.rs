//! What a subject prints.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;
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

/// The rows of a subject.
pub(crate) trait Report: Serialize {
    /// Writes them as tables.
    ///
    /// # Errors
    /// Those of the output.
    fn print(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Writes a report to standard output.
///
/// # Errors
/// Those of the output.
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
    match text.parse() {
        Ok(0) => Err("must be 1 or more".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}
