//! Programs whose memory is worth measuring: each is started, filled, read and ended.

mod compilers;
mod redis;
mod scripts;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use compcache_engine::Page;

use crate::capture::{self, Kind, Source};
use crate::process::Running;

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

/// The same, at least one.
pub(crate) fn some_sources(most: usize, quick: bool) -> Result<Vec<Source>> {
    let sources = sources(most, quick);
    ensure!(
        !sources.is_empty(),
        "no program to take pages from: install python3"
    );
    Ok(sources)
}

/// The same of programs by name, or of all if none is named.
pub(crate) fn sources_of(names: &[String], most: usize) -> Vec<Source> {
    let wanted = |(name, _): &&(&str, Capture)| names.is_empty() || names.iter().any(|n| n == name);
    captured(PROGRAMS.iter().filter(wanted), most)
}

fn captured<'a>(
    programs: impl IntoIterator<Item = &'a (&'static str, Capture)>,
    most: usize,
) -> Vec<Source> {
    let programs = programs.into_iter();
    programs
        .filter_map(|(name, capture)| Source::new(name, Kind::Anonymous, capture(most)))
        .collect()
}

pub(crate) fn fill_database(path: &Path) -> Result<()> {
    fill(&mut sqlite(path)).map(drop)
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

/// Starts a program, and waits for the line by which it says that it is filled.
fn fill(command: &mut Command) -> Result<Running> {
    let mut program = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let stdout = program.0.stdout.take().context("it has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(line.trim() == "ready", "it ended before it was filled");
    Ok(program)
}

/// The pages of a program that writes a line when it is filled, and then waits for its input
/// to end.
fn waiting(command: &mut Command, most: usize) -> Result<Vec<Page>> {
    let program = fill(command)?;
    capture::of_process(program.0.id(), most)
}
