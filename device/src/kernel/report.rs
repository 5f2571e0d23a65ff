//! What the driver reports about a device, as [`DeviceStats`].

use std::collections::BTreeMap;

use compcache_engine::stats::{LATENCY_BUCKETS, Latency};
use serde::Deserialize as _;
use serde::de::value::{Error, MapDeserializer};

use crate::freed::Freeing;
use crate::status::{CodecUse, DeviceStats};

/// Reads the lines `NAME VALUE` of the attribute `stats`, and those of `latency`. The names are
/// those of the fields; others are of a newer driver.
pub(super) fn stats(stats: &str, latency: &str) -> DeviceStats {
    let numbers: BTreeMap<&str, u64> = stats.lines().filter_map(name_and_number).collect();
    let fields = MapDeserializer::<_, Error>::new(numbers.iter().map(|(name, n)| (*name, *n)));
    let mut out = DeviceStats::deserialize(fields).unwrap_or_else(|error| {
        tracing::warn!("the statistics of the kernel driver make no sense: {error}");
        DeviceStats::default()
    });
    for (name, value) in numbers {
        set_codec(&mut out, name, value);
    }
    for line in latency.lines() {
        let mut words = line.split_ascii_whitespace();
        let histogram = match words.next() {
            Some("store") => &mut out.store_latency,
            Some("load") => &mut out.load_latency,
            _ => continue,
        };
        let mut number = || words.next()?.parse::<u64>().ok();
        if let (Some(bound), Some(count)) = (number(), number()) {
            count_in(histogram, bound, count);
        }
    }
    out
}

fn name_and_number(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once(|c: char| c.is_ascii_whitespace())?;
    Some((name, value.trim().parse().ok()?))
}

/// Adds to the bucket that begins at `bound` ns.
fn count_in(histogram: &mut Latency, bound: u64, count: u64) {
    let bucket = bound.checked_ilog2().unwrap_or(0) as usize;
    histogram[bucket.min(LATENCY_BUCKETS - 1)] += count;
}

/// Sets what a codec's chunks hold: `codec_NAME_pages` and `codec_NAME_bytes`.
fn set_codec(out: &mut DeviceStats, name: &str, value: u64) {
    let Some((codec, what)) = name
        .strip_prefix("codec_")
        .and_then(|rest| rest.rsplit_once('_'))
        .filter(|(_, what)| matches!(*what, "pages" | "bytes"))
    else {
        return;
    };
    if value == 0 {
        return;
    }
    let at = out.codecs.iter().position(|held| held.codec == codec);
    let at = at.unwrap_or_else(|| {
        out.codecs.push(CodecUse {
            codec: codec.to_owned(),
            pages: 0,
            bytes: 0,
        });
        out.codecs.len() - 1
    });
    match what {
        "pages" => out.codecs[at].pages = value,
        _ => out.codecs[at].bytes = value,
    }
}

/// How the driver frees slots, by its attribute `features`.
pub(super) fn freeing(features: &str) -> Freeing {
    match feature(features, "free_notify") {
        Some("0") => Freeing::ByCluster,
        _ => Freeing::AtOnce,
    }
}

/// The value of a feature, of words `NAME=VALUE`.
pub(super) fn feature<'a>(features: &'a str, name: &str) -> Option<&'a str> {
    features
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}
