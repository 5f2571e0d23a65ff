//! `codec`: how fast and how small each codec makes real pages.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use compcache_engine::page::PAGE_SIZE;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::capture::{Kind, Source};
use crate::contender::{self, Contender, REFERENCE, ROOM};
use crate::report::{Common, Report, positive};
use crate::stat::{mean, median};
use crate::{files, programs};

/// Compares the codecs with lz4 and zstd in C and with lz4_flex, on pages captured from
/// programs and files
#[derive(Debug, Args)]
pub(crate) struct CodecArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Pages of each source
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = positive)]
    pages: usize,
    /// Rounds, in each of which every codec does every page once
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = positive)]
    rounds: usize,
    /// Only codecs whose name contains this, beside the C lz4
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// A chunk longer than this is incompressible: stored as a whole page.
const LIMIT: usize = PAGE_SIZE * 3 / 4;

/// What one contender did with one source.
struct Run {
    /// Lengths of the chunks, whole pages where there is none.
    sizes: Vec<usize>,
    /// For each round the time for all pages.
    compress: Vec<Duration>,
    /// For each round the time for all pages that have a chunk.
    decompress: Vec<Duration>,
    /// How many pages have a chunk.
    chunks: usize,
}

/// A row of the tables: one contender on one kind of memory.
#[derive(Debug, Serialize)]
struct Row {
    codec: String,
    kind: Kind,
    /// Bytes of chunks for each byte of pages, the mean of the sources'.
    ratio: f64,
    /// The same for each source.
    ratios: Vec<(String, f64)>,
    compress_mb_s: f64,
    decompress_mb_s: f64,
    /// Speeds divided by the reference's in the same round.
    compress_to_lz4: f64,
    decompress_to_lz4: f64,
    /// Share of pages whose chunk passes 3072 bytes.
    over_limit: f64,
}

/// The rows.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct CodecReport {
    rows: Vec<Row>,
}

/// Runs the comparison.
///
/// # Errors
/// Where no page could be captured, or a codec does not give a page back.
pub(crate) fn run(args: &CodecArgs) -> Result<CodecReport> {
    let (pages, rounds) = if args.common.quick {
        (64, 1)
    } else {
        (args.pages, args.rounds)
    };
    let mut sources = programs::sources(pages, args.common.quick);
    sources.extend(files::sources(pages, args.common.quick));
    ensure!(
        !sources.is_empty(),
        "no program and no file to take pages from: install python3"
    );

    let mut contenders = contender::all();
    if let Some(only) = &args.only {
        contenders.retain(|c| c.name() == REFERENCE || c.name().contains(only));
    }
    let mut runs = Vec::new();
    for source in &sources {
        runs.push(measure(source, &mut contenders, rounds)?);
    }
    let names: Vec<String> = contenders.iter().map(|c| c.name()).collect();
    let mut rows = Vec::new();
    for kind in [Kind::Anonymous, Kind::File] {
        let of_kind: Vec<(&Source, &[Run])> = sources
            .iter()
            .zip(&runs)
            .filter(|(source, _)| source.kind == kind)
            .map(|(source, runs)| (source, &runs[..]))
            .collect();
        if !of_kind.is_empty() {
            rows.extend(
                names
                    .iter()
                    .enumerate()
                    .map(|(i, name)| row(name, i, kind, &of_kind)),
            );
        }
    }
    Ok(CodecReport { rows })
}

impl Report for CodecReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        print(out, &self.rows)
    }
}

/// Lets every contender do every page of a source, once a round and each in its turn.
fn measure(
    source: &Source,
    contenders: &mut [Box<dyn Contender>],
    rounds: usize,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut chunks = Vec::new();
    for contender in contenders.iter_mut() {
        let mut sizes = Vec::new();
        let mut own = Vec::new();
        for page in &source.pages {
            let mut out = [0; ROOM];
            let length = contender
                .compress(page, &mut out)
                .filter(|&length| length < PAGE_SIZE);
            sizes.push(length.unwrap_or(PAGE_SIZE));
            if let Some(length) = length {
                let mut back = [0; PAGE_SIZE];
                let read = contender.decompress(&out[..length], &mut back);
                let name = contender.name();
                ensure!(
                    read && back == *page,
                    "{name} lost a page of {}",
                    source.name
                );
                own.push(out[..length].to_vec());
            }
        }
        runs.push(Run {
            sizes,
            compress: vec![],
            decompress: vec![],
            chunks: own.len(),
        });
        chunks.push(own);
    }
    let mut out = [0; ROOM];
    let mut restored = [0; PAGE_SIZE];
    for _ in 0..rounds {
        for (run, contender) in runs.iter_mut().zip(contenders.iter_mut()) {
            let start = own_time();
            for page in &source.pages {
                std::hint::black_box(contender.compress(page, &mut out));
            }
            run.compress.push(own_time() - start);
        }
        for ((run, contender), chunks) in runs.iter_mut().zip(contenders.iter_mut()).zip(&chunks) {
            let start = own_time();
            for chunk in chunks {
                std::hint::black_box(contender.decompress(chunk, &mut restored));
            }
            run.decompress.push(own_time() - start);
        }
    }
    Ok(runs)
}

/// The processor time of this thread: what others run meanwhile does not count.
fn own_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(now.tv_sec as u64) + Duration::from_nanos(now.tv_nsec as u64)
}

/// Sums a contender's runs over the sources of one kind.
fn row(name: &str, index: usize, kind: Kind, sources: &[(&Source, &[Run])]) -> Row {
    let ratio =
        |run: &Run| run.sizes.iter().sum::<usize>() as f64 / (run.sizes.len() * PAGE_SIZE) as f64;
    let rounds = sources[0].1[index].compress.len();
    // MB/s of one contender in each round, all sources taken together.
    let speeds = |index: usize, decompress: bool| -> Vec<f64> {
        let speed = |round: usize| {
            let (mut pages, mut time) = (0, Duration::ZERO);
            for (_, runs) in sources {
                let run = &runs[index];
                pages += if decompress {
                    run.chunks
                } else {
                    run.sizes.len()
                };
                time += if decompress {
                    run.decompress[round]
                } else {
                    run.compress[round]
                };
            }
            (pages * PAGE_SIZE) as f64 / 1e6 / time.as_secs_f64()
        };
        (0..rounds).map(speed).collect()
    };
    let to_reference = |decompress: bool| {
        let (ours, theirs) = (speeds(index, decompress), speeds(0, decompress));
        median(ours.iter().zip(&theirs).map(|(a, b)| a / b).collect())
    };
    let sizes = || sources.iter().flat_map(|(_, runs)| &runs[index].sizes);
    Row {
        codec: name.into(),
        kind,
        ratio: mean(sources.iter().map(|(_, runs)| ratio(&runs[index]))),
        ratios: sources
            .iter()
            .map(|(s, runs)| (s.name.clone(), ratio(&runs[index])))
            .collect(),
        compress_mb_s: median(speeds(index, false)),
        decompress_mb_s: median(speeds(index, true)),
        compress_to_lz4: to_reference(false),
        decompress_to_lz4: to_reference(true),
        over_limit: mean(sizes().map(|&size| f64::from(u8::from(size > LIMIT)))),
    }
}

/// Prints a table for each kind of memory: speeds, then the ratio on each source.
fn print(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    for kind in [Kind::Anonymous, Kind::File] {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
        let Some(first) = rows.first() else { continue };
        let title = if kind == Kind::Anonymous {
            "anonymous"
        } else {
            "file"
        };
        write!(
            out,
            "{title:<11} {:>6} {:>15} {:>15} {:>7}",
            "ratio", "compress MB/s", "decompress MB/s", ">3072 B"
        )?;
        for (source, _) in &first.ratios {
            write!(out, " {source:>8}")?;
        }
        writeln!(out)?;
        for row in rows {
            write!(
                out,
                "{:<11} {:>6.3} {:>6.0} ({:>4.2} x) {:>7.0} ({:>4.2} x) {:>5.1} %",
                row.codec,
                row.ratio,
                row.compress_mb_s,
                row.compress_to_lz4,
                row.decompress_mb_s,
                row.decompress_to_lz4,
                row.over_limit * 100.0,
            )?;
            for (_, ratio) in &row.ratios {
                write!(out, " {ratio:>8.3}")?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "(x: the speed divided by that of {REFERENCE} in the same round; medians of the rounds)"
    )
}
