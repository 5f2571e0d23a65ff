//! What the driver reports about a device, as [`DeviceStats`].

use compcache_engine::CodecId;
use compcache_engine::stats::{LATENCY_BUCKETS, Latency, Stats};

use crate::freed::Freeing;
use crate::status::DeviceStats;

/// Reads the lines `NAME VALUE` of the attribute `stats`, and those of `latency`. The names are
/// those of the fields; others are of a newer driver.
pub(super) fn stats(stats: &str, latency: &str) -> DeviceStats {
    let mut out = DeviceStats::default();
    for (name, value) in stats.lines().filter_map(name_and_number) {
        match name {
            "invalid_io" => out.invalid_io = value,
            "recompress_cpu_ns" => out.recompress_cpu_ns = value,
            _ => {
                if !out.store.set(name, value) {
                    set_codec(&mut out.store, name, value);
                }
            }
        }
    }
    for line in latency.lines() {
        let mut words = line.split_ascii_whitespace();
        let histogram = match words.next() {
            Some("store") => &mut out.store.store_latency,
            Some("load") => &mut out.store.load_latency,
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
fn set_codec(out: &mut Stats, name: &str, value: u64) {
    let held = name.strip_prefix("codec_").and_then(|rest| {
        let (codec, what) = rest.rsplit_once('_')?;
        Some((CodecId::from_name(codec)?, what))
    });
    match held {
        Some((codec, "pages")) => out.codecs[codec as usize].pages = value,
        Some((codec, "bytes")) => out.codecs[codec as usize].bytes = value,
        _ => {}
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
