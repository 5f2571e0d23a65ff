//! Statistics of a device as the attributes show them.

use core::fmt::{self, Write};
use core::sync::atomic::Ordering::Relaxed;

use compcache_engine::codec::CodecId;
use compcache_engine::stats::{LATENCY_BUCKETS, Latency, Stats};

use crate::device::Control;
use crate::live::Live;
use crate::params::PAGE;
use crate::sys;

/// Fills in a snapshot of a device's counters.
pub(crate) fn stats_of(live: &Live, stats: &mut Stats) {
    live.store().read_stats(stats);
    // A write that was tried again is one write, which did not fail.
    let retried = live.retried.load(Relaxed);
    stats.failed_writes = stats.failed_writes.saturating_sub(retried);
    stats.writes = stats.writes.saturating_sub(retried);
}

/// A snapshot; zeros before a device is initialised.
fn snapshot(control: &Control<'_>) -> Stats {
    let mut stats = Stats::default();
    if let Some(live) = control.live() {
        stats_of(live, &mut stats);
    }
    stats
}

/// zram's nine numbers.
pub(crate) fn mm_stat(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = snapshot(control);
    let same = stats.zero_pages + stats.same_pages;
    writeln!(
        out,
        "{} {} {} {} {} {} {} {} {}",
        (stats.pages_stored + same) * PAGE,
        stats.compr_bytes,
        stats.pool_bytes,
        control
            .live()
            .map_or(control.memlimit.unwrap_or(0), Live::memlimit),
        stats.pool_bytes_max,
        same,
        stats.evacuated_bytes / PAGE,
        stats.no_compress,
        stats.no_compress_since,
    )
}

/// Failed and refused requests, and pages freed.
pub(crate) fn io_stat(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = snapshot(control);
    writeln!(
        out,
        "{} {} {} {}",
        stats.failed_reads,
        stats.failed_writes,
        control.device().invalid_io(),
        stats.notify_free
    )
}

/// Pages in the backing swap, read from it and written to it.
pub(crate) fn bd_stat(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = snapshot(control);
    writeln!(
        out,
        "{} {} {}",
        stats.backing_pages, stats.backing_reads, stats.backing_writes
    )
}

/// Chunks that did not match their checksum or did not decode.
pub(crate) fn checksum_failures(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{}", snapshot(control).corrupt)
}

/// The histograms: for each bucket that counts something, its least time in ns and the count.
pub(crate) fn latency(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = snapshot(control);
    let mut lines = |name: &str, latency: &Latency| {
        let buckets = (0..LATENCY_BUCKETS).zip(latency);
        buckets
            .filter(|(_, count)| **count != 0)
            .try_for_each(|(bucket, count)| {
                let from = if bucket == 0 { 0 } else { 1_u64 << bucket };
                writeln!(out, "{name} {from} {count}")
            })
    };
    lines("store", &stats.store_latency)?;
    lines("load", &stats.load_latency)
}

/// Everything, a line each.
pub(crate) fn all(control: &Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = snapshot(control);
    let live = control.live();
    let of = |get: fn(&Live) -> u64| live.map_or(0, get);
    for (name, value) in [
        ("disksize", of(|live| live.store().pages() * PAGE)),
        ("memlimit", of(Live::memlimit)),
        ("reads", stats.reads),
        ("writes", stats.writes),
        ("failed_reads", stats.failed_reads),
        ("failed_writes", stats.failed_writes),
        ("invalid_io", control.device().invalid_io()),
        ("notify_free", stats.notify_free),
        ("corrupt", stats.corrupt),
        ("backing_reads", stats.backing_reads),
        ("backing_writes", stats.backing_writes),
        ("evacuated", stats.evacuated),
        ("evacuated_bytes", stats.evacuated_bytes),
        ("reserve_misses", stats.reserve_misses),
        ("retried_writes", of(|live| live.retried.load(Relaxed))),
        ("recompressed", stats.recompressed),
        ("recompress_saved", stats.recompress_saved),
        ("recompress_in_vain", stats.recompress_in_vain),
        ("recompress_cpu_ns", of(|live| live.policy.cpu_ns())),
        ("zero_pages", stats.zero_pages),
        ("same_pages", stats.same_pages),
        ("pages_stored", stats.pages_stored),
        ("good_compress", stats.good_compress),
        ("no_compress", stats.no_compress),
        ("no_compress_since", stats.no_compress_since),
        ("backing_pages", stats.backing_pages),
        ("compr_bytes", stats.compr_bytes),
        ("pool_bytes", stats.pool_bytes),
        ("pool_bytes_max", stats.pool_bytes_max),
        ("reserve_bytes", stats.reserve_bytes),
        ("table_bytes", stats.table_bytes),
        // SAFETY: may be called anywhere.
        ("mapped_frames", unsafe { sys::rzk_frames_mapped() }),
    ] {
        writeln!(out, "{name} {value}")?;
    }
    for (id, held) in CodecId::ALL.iter().zip(&stats.codecs) {
        if held.pages > 0 {
            let name = id.name();
            writeln!(out, "codec_{name}_pages {}", held.pages)?;
            writeln!(out, "codec_{name}_bytes {}", held.bytes)?;
        }
    }
    Ok(())
}
