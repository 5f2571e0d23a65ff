//! `codec`: how fast and how small each codec makes real pages.

mod contender;
mod library;
mod measure;
mod report;
mod row;
mod zram;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::capture::{Kind, Source};
use crate::report::{Common, PlotArgs, positive};
use crate::{file_pages, programs};
use contender::Contender;
use library::REFERENCE;
use measure::Measured;
use row::Row;

/// Compares the codecs with lz4 and zstd in C, lz4_flex and the kernel's, on pages captured from
/// programs and files
#[derive(Debug, Args)]
pub(crate) struct CodecArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plot: PlotArgs,
    /// Pages of each source
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = positive)]
    pages: usize,
    /// Rounds, in each of which every codec does every page once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    rounds: usize,
    /// Only codecs whose name contains this, beside the C lz4
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// The rows, and what they come from.
#[derive(Debug, Serialize)]
pub(crate) struct CodecReport {
    sources: BTreeMap<String, usize>,
    rows: Vec<Row>,
}

pub(crate) fn run(args: &CodecArgs) -> Result<CodecReport> {
    let quick = args.common.quick;
    let (pages, rounds) = args.common.choose((64, 1), (args.pages, args.rounds));
    let mut sources = programs::sources(pages, quick);
    sources.extend(file_pages::sources(pages, quick));
    ensure!(
        !sources.is_empty(),
        "no program and no file to take pages from: install python3"
    );
    for source in sources.iter().filter(|source| source.pages.len() < pages) {
        let found = source.pages.len();
        eprintln!("{}: only {found} pages of {pages}", source.name);
    }
    let mut contenders = contenders(args.only.as_deref())?;
    let mut measured = Vec::new();
    for source in &sources {
        eprintln!("pages of {}", source.name);
        measured.push(measure::measure(source, &mut contenders, rounds)?);
    }
    let mut rows = Vec::new();
    for kind in [Kind::Anonymous, Kind::File] {
        let of_kind: Vec<(&Source, &[Measured])> = sources
            .iter()
            .zip(&measured)
            .filter(|(source, _)| source.kind == kind)
            .map(|(source, measured)| (source, &measured[..]))
            .collect();
        if !of_kind.is_empty() {
            let of = |(at, contender)| Row::new(contender, at, kind, &of_kind);
            rows.extend(contenders.iter().map(AsRef::as_ref).enumerate().map(of));
        }
    }
    let pages = |source: &Source| (source.name.clone(), source.pages.len());
    Ok(CodecReport {
        sources: sources.iter().map(pages).collect(),
        rows,
    })
}

/// Every contender, the reference first, then those whose name contains `only`.
fn contenders(only: Option<&str>) -> Result<Vec<Box<dyn Contender>>> {
    let mut all = library::peers();
    for algorithm in crate::zram::algorithms_for("codec") {
        all.push(Box::new(zram::Kernel::new(algorithm)));
    }
    all.extend(library::ours()?);
    let is_wanted = |name: String| name == REFERENCE || only.is_none_or(|only| name.contains(only));
    all.retain(|contender| is_wanted(contender.to_string()));
    Ok(all)
}
