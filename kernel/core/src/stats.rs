//! Statistics of a device as the attributes show them.

use core::fmt::{self, Write};
use core::sync::atomic::Ordering::Relaxed;

use compcache_engine::disk::PAGE;
use compcache_engine::stats::{LATENCY_BUCKETS, Latency};

use crate::device::Control;
use crate::live::Live;
use crate::sys;

/// zram's nine numbers.
pub(crate) fn mm_stat(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    let memlimit = control
        .live()
        .map_or(control.memlimit.unwrap_or(0), Live::memlimit);
    let stats = control.stats();
    let same = stats.same_filled();
    writeln!(
        out,
        "{} {} {} {} {} {} {} {} {}",
        (stats.pages_stored + same) * PAGE,
        stats.compr_bytes,
        stats.pool_bytes,
        memlimit,
        stats.pool_bytes_max,
        same,
        stats.evacuated_bytes / PAGE,
        stats.no_compress,
        stats.no_compress_since,
    )
}

/// Failed and refused requests, and pages freed.
pub(crate) fn io_stat(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    let invalid_io = control.device().invalid_io();
    let stats = control.stats();
    writeln!(
        out,
        "{} {} {} {}",
        stats.failed_reads, stats.failed_writes, invalid_io, stats.notify_free
    )
}

/// Pages in the backing swap, read from it and written to it.
pub(crate) fn bd_stat(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = control.stats();
    writeln!(
        out,
        "{} {} {}",
        stats.backing_pages, stats.backing_reads, stats.backing_writes
    )
}

/// Chunks that did not match their checksum or did not decode.
pub(crate) fn checksum_failures(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{}", control.stats().corrupt)
}

/// The histograms: for each bucket that counts something, its least time in ns and the count.
pub(crate) fn latency(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    let stats = control.stats();
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
pub(crate) fn all(control: &mut Control<'_>, out: &mut impl Write) -> fmt::Result {
    let live = control.live();
    let of = |get: fn(&Live) -> u64| live.map_or(0, get);
    let (disksize, memlimit) = (of(|live| live.store().pages() * PAGE), of(Live::memlimit));
    let retried = of(|live| live.retried.load(Relaxed));
    let cpu_ns = of(|live| live.policy.cpu_ns());
    let invalid_io = control.device().invalid_io();
    let stats = control.stats();
    let mut line = |name: &str, value: u64| writeln!(out, "{name} {value}");
    line("disksize", disksize)?;
    line("memlimit", memlimit)?;
    for (name, value) in stats.numbers() {
        line(name, value)?;
    }
    line("invalid_io", invalid_io)?;
    line("retried_writes", retried)?;
    line("recompress_cpu_ns", cpu_ns)?;
    // SAFETY: may be called anywhere.
    line("mapped_frames", unsafe { sys::rzk_frames_vmapped() })?;
    for (id, held) in stats.by_codec() {
        let name = id.name();
        writeln!(out, "codec_{name}_pages {}", held.pages)?;
        writeln!(out, "codec_{name}_bytes {}", held.bytes)?;
    }
    Ok(())
}
