//! The results of a codec on one kind of memory.

use serde::Serialize;

use super::contender::{Contender, Whose};
use super::measure::{Measured, Way};
use crate::capture::{Kind, Source};
use crate::histogram::Histogram;
use crate::stat::{geometric_mean, mean};

/// A row of the tables: one codec on one kind of memory. Each source counts as much as the next,
/// however many pages it gave.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) codec: String,
    pub(super) whose: Whose,
    pub(super) kind: Kind,
    /// Geometric means of the sources', but for `over_limit`, which is their mean.
    #[serde(flatten)]
    pub(super) values: Values,
    /// The time that 99 of 100 pages of all sources do not pass, in microseconds.
    pub(super) compress_p99_us: f64,
    /// The same.
    pub(super) decompress_p99_us: f64,
    pub(super) sources: Vec<OfSource>,
}

#[derive(Debug, Serialize)]
pub(super) struct OfSource {
    pub(super) source: String,
    #[serde(flatten)]
    pub(super) values: Values,
}

/// The results of a codec on one source, and on all of a kind.
#[derive(Debug, Serialize)]
pub(super) struct Values {
    /// Bytes of chunks for each byte of pages.
    pub(super) ratio: f64,
    /// The same divided by the reference's.
    pub(super) ratio_to_lz4: f64,
    /// The median of the rounds.
    pub(super) compress_mb_s: f64,
    /// The same.
    pub(super) decompress_mb_s: f64,
    /// The speed divided by the reference's in the same round, the median of the rounds.
    pub(super) compress_to_lz4: f64,
    /// The same.
    pub(super) decompress_to_lz4: f64,
    /// Share of pages whose chunk passes 3072 bytes.
    pub(super) over_limit: f64,
}

impl OfSource {
    fn new(source: &Source, own: &Measured, reference: &Measured) -> OfSource {
        let speed = |way: Way| own.speeds.median(|speeds| speeds[way as usize]);
        let to_lz4 = |way: Way| {
            own.speeds
                .ratio(&reference.speeds, |speeds| speeds[way as usize])
        };
        OfSource {
            source: source.name.clone(),
            values: Values {
                ratio: own.ratio(),
                ratio_to_lz4: own.ratio() / reference.ratio(),
                compress_mb_s: speed(Way::Compress),
                decompress_mb_s: speed(Way::Decompress),
                compress_to_lz4: to_lz4(Way::Compress),
                decompress_to_lz4: to_lz4(Way::Decompress),
                over_limit: own.over_limit(),
            },
        }
    }
}

impl Row {
    /// The row of the contender that is number `at` of what was measured with each source, of which
    /// the first is the reference.
    pub(super) fn new(
        contender: &dyn Contender,
        at: usize,
        kind: Kind,
        measured: &[(&Source, &[Measured])],
    ) -> Row {
        let sources: Vec<OfSource> = measured
            .iter()
            .map(|(source, measured)| OfSource::new(source, &measured[at], &measured[0]))
            .collect();
        let values = || sources.iter().map(|of| &of.values);
        let all = |value: fn(&Values) -> f64| geometric_mean(values().map(value));
        let p99 = |way: Way| {
            let mut times = Histogram::new();
            for (_, measured) in measured {
                times.merge(&measured[at].times[way as usize]);
            }
            times.quantile(0.99) / 1000.0
        };
        Row {
            codec: contender.to_string(),
            whose: contender.whose(),
            kind,
            values: Values {
                ratio: all(|of| of.ratio),
                ratio_to_lz4: all(|of| of.ratio_to_lz4),
                compress_mb_s: all(|of| of.compress_mb_s),
                decompress_mb_s: all(|of| of.decompress_mb_s),
                compress_to_lz4: all(|of| of.compress_to_lz4),
                decompress_to_lz4: all(|of| of.decompress_to_lz4),
                over_limit: mean(values().map(|of| of.over_limit)),
            },
            compress_p99_us: p99(Way::Compress),
            decompress_p99_us: p99(Way::Decompress),
            sources,
        }
    }

    /// The codec's name, with a mark if its speeds are those of a block device.
    pub(super) fn name(&self) -> String {
        match self.whose {
            Whose::Kernel => format!("{}*", self.codec),
            _ => self.codec.clone(),
        }
    }
}
