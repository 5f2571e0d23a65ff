//! What is said of a codec on one kind of memory.

use serde::Serialize;

use super::contender::{Contender, Whose};
use super::measure::{COMPRESS, DECOMPRESS, Run};
use crate::capture::{Kind, Source};
use crate::histogram::Histogram;
use crate::stat::{geometric_mean, mean, median};

/// A row of the tables: one codec on one kind of memory. Each source counts as much as the next,
/// however many pages it gave.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) codec: String,
    pub(super) whose: Whose,
    pub(super) kind: Kind,
    /// Bytes of chunks for each byte of pages, the geometric mean of the sources'.
    pub(super) ratio: f64,
    /// The geometric mean of the sources' ratios divided by the reference's.
    pub(super) ratio_to_lz4: f64,
    /// Medians of the rounds, the geometric mean of the sources'.
    pub(super) compress_mb_s: f64,
    /// The same.
    pub(super) decompress_mb_s: f64,
    /// Speeds divided by the reference's in the same round, medians of the rounds, the geometric
    /// mean of the sources'.
    pub(super) compress_to_lz4: f64,
    /// The same.
    pub(super) decompress_to_lz4: f64,
    /// The time that 99 of 100 pages of all sources do not pass, in microseconds.
    pub(super) compress_p99_us: f64,
    /// The same.
    pub(super) decompress_p99_us: f64,
    /// Share of pages whose chunk passes 3072 bytes, the mean of the sources'.
    pub(super) over_limit: f64,
    /// The same for each source.
    pub(super) sources: Vec<OfSource>,
}

/// A codec on one source.
#[derive(Debug, Serialize)]
pub(super) struct OfSource {
    pub(super) source: String,
    pub(super) ratio: f64,
    ratio_to_lz4: f64,
    compress_mb_s: f64,
    decompress_mb_s: f64,
    compress_to_lz4: f64,
    decompress_to_lz4: f64,
    over_limit: f64,
}

impl OfSource {
    fn new(source: &Source, own: &Run, reference: &Run) -> OfSource {
        let speed = |way: usize| median(own.ways[way].speeds());
        let to_reference = |way: usize| {
            let (own, reference) = (own.ways[way].speeds(), reference.ways[way].speeds());
            median(own.iter().zip(&reference).map(|(a, b)| a / b).collect())
        };
        OfSource {
            source: source.name.clone(),
            ratio: own.ratio(),
            ratio_to_lz4: own.ratio() / reference.ratio(),
            compress_mb_s: speed(COMPRESS),
            decompress_mb_s: speed(DECOMPRESS),
            compress_to_lz4: to_reference(COMPRESS),
            decompress_to_lz4: to_reference(DECOMPRESS),
            over_limit: own.over_limit(),
        }
    }
}

impl Row {
    /// The row of the contender that is number `at` of each source's runs, of which the first is
    /// the reference's.
    pub(super) fn new(
        contender: &dyn Contender,
        at: usize,
        kind: Kind,
        runs: &[(&Source, &[Run])],
    ) -> Row {
        let sources: Vec<OfSource> = runs
            .iter()
            .map(|(source, runs)| OfSource::new(source, &runs[at], &runs[0]))
            .collect();
        let all = |value: fn(&OfSource) -> f64| geometric_mean(sources.iter().map(value));
        let p99 = |way: usize| {
            let mut times = Histogram::new();
            for (_, runs) in runs {
                times.merge(&runs[at].ways[way].each.sparse());
            }
            times.quantile(0.99) / 1000.0
        };
        Row {
            codec: contender.name(),
            whose: contender.whose(),
            kind,
            ratio: all(|of| of.ratio),
            ratio_to_lz4: all(|of| of.ratio_to_lz4),
            compress_mb_s: all(|of| of.compress_mb_s),
            decompress_mb_s: all(|of| of.decompress_mb_s),
            compress_to_lz4: all(|of| of.compress_to_lz4),
            decompress_to_lz4: all(|of| of.decompress_to_lz4),
            compress_p99_us: p99(COMPRESS),
            decompress_p99_us: p99(DECOMPRESS),
            over_limit: mean(sources.iter().map(|of| of.over_limit)),
            sources,
        }
    }
}
