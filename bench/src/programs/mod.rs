//! Programs whose memory is worth measuring: each is started, filled, read and ended.

mod compilers;
mod redis;
mod scripts;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use compcache_engine::Page;

use crate::capture::{self, Kind, Source};

/// How the pages of a program are had, up to so many.
type Capture = fn(usize) -> Result<Vec<Page>>;

/// The programs; the first is the one of a quick run.
const PROGRAMS: [(&str, Capture); 9] = [
    ("python", |most| {
        waiting(Command::new("python3").args(["-c", scripts::PYTHON]), most)
    }),
    ("sqlite", |most| {
        waiting(&mut sqlite(Path::new(":memory:")), most)
    }),
    ("perl", |most| {
        waiting(Command::new("perl").args(["-e", scripts::PERL]), most)
    }),
    ("node", |most| {
        waiting(Command::new("node").args(["-e", scripts::NODE]), most)
    }),
    ("java", java),
    ("gcc", compilers::gcc),
    ("g++", compilers::gxx),
    ("rustc", compilers::rustc),
    ("redis", redis::pages),
];

/// Captures up to `most` pages of each program that this machine has. A program that is not
/// there or fails is named on standard error and left out.
pub(crate) fn sources(most: usize, quick: bool) -> Vec<Source> {
    captured(if quick { &PROGRAMS[..1] } else { &PROGRAMS }, most)
}

/// The same of programs by name, or of all where none is named.
pub(crate) fn sources_of(names: &[String], most: usize) -> Vec<Source> {
    let wanted = |(name, _): &&(&str, Capture)| names.is_empty() || names.iter().any(|n| n == name);
    captured(PROGRAMS.iter().filter(wanted), most)
}

fn captured<'a>(
    programs: impl IntoIterator<Item = &'a (&'static str, Capture)>,
    most: usize,
) -> Vec<Source> {
    let mut sources = Vec::new();
    for (name, capture) in programs {
        match capture(most) {
            Ok(pages) if pages.is_empty() => eprintln!("{name}: left out, it has no pages"),
            Ok(pages) => sources.push(Source {
                name: (*name).into(),
                kind: Kind::Anonymous,
                pages,
            }),
            Err(error) => eprintln!("{name}: left out, {error:#}"),
        }
    }
    sources
}

/// Fills a database in a file.
///
/// # Errors
/// Where there is no Python, or it has no SQLite.
pub(crate) fn fill_database(path: &Path) -> Result<()> {
    let mut program = Running::start(&mut sqlite(path))?;
    program.wait_until_filled()
}

fn sqlite(path: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", scripts::SQLITE]).arg(path);
    command
}

/// The pages of a Java program, with its compiler's, which runs in the same process before.
fn java(most: usize) -> Result<Vec<Page>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("Filled.java");
    fs::write(&path, scripts::JAVA)?;
    waiting(Command::new("java").arg("-Xmx512m").arg(&path), most)
}

/// A child that does not outlive its measurement.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Running> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Running(command.spawn().context("it does not start")?))
    }

    /// Waits for the line by which a program says that it is filled.
    fn wait_until_filled(&mut self) -> Result<()> {
        let stdout = self.0.stdout.take().context("it has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("it ended before it was filled");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the child has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The pages of a program that writes a line when it is filled, and then waits for its input
/// to end.
fn waiting(command: &mut Command, most: usize) -> Result<Vec<Page>> {
    let mut program = Running::start(command)?;
    program.wait_until_filled()?;
    capture::of_process(program.0.id(), most)
}
