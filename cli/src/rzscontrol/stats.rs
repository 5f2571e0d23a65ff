//! `rzscontrol --stats`: the lines that scripts written for the original parse.

use std::fmt::{Display, Write as _};

use compcache_device::DeviceStatus;

/// Kilobytes in a page.
const PAGE_KB: u64 = 4;

/// The statistics in the form of the original: label, colon, tab, value right-aligned in 8.
#[must_use]
pub fn format(status: &DeviceStatus) -> String {
    let stats = &status.stats;
    let percent = |pages: u64| match u128::from(stats.pages_stored) {
        0 => 0,
        all => u128::from(pages) * 100 / all,
    };
    let mut out = Lines::default();
    if let Some(backing) = &status.backing_swap {
        out.line("BackingSwap", backing.display(), "");
    }
    out.line("DiskSize", status.disksize / 1024, " kB");
    if status.backing_swap.is_some() {
        out.line("MemLimit", status.memlimit.unwrap_or(0) / 1024, " kB");
    }
    out.line("NumReads", stats.reads, "");
    out.line("NumWrites", stats.writes, "");
    out.line("FailedReads", stats.failed_reads, "");
    out.line("FailedWrites", stats.failed_writes, "");
    out.line("InvalidIO", stats.invalid_io, "");
    out.line("NotifyFree", stats.notify_free, "");
    out.line("ZeroPages", stats.zero_pages, "");
    out.line("GoodCompress", percent(stats.good_compress), " %");
    out.line("NoCompress", percent(stats.no_compress), " %");
    out.line("PagesStored", stats.pages_stored, "");
    out.line("PagesUsed", stats.pool_bytes.div_ceil(PAGE_KB * 1024), "");
    out.line("OrigDataSize", stats.pages_stored * PAGE_KB, " kB");
    out.line("ComprDataSize", stats.compr_bytes / 1024, " kB");
    out.line("MemUsedTotal", stats.pool_bytes / 1024, " kB");
    if status.backing_swap.is_some() {
        out.line("BDevNumReads", stats.backing_reads, "");
        out.line("BDevNumWrites", stats.backing_writes, "");
    }
    out.0
}

/// What the original did not have, in the same form: for `--verbose`.
#[must_use]
pub fn format_more(status: &DeviceStatus) -> String {
    let stats = &status.stats;
    let mut out = Lines::default();
    out.line("Codec", &status.codec, "");
    if let Some(block_device) = &status.block_device {
        out.line("BlockDevice", block_device.display(), "");
    }
    if let Some(freeing) = status.dead_slots {
        out.line("DeadSlots", freeing, "");
    }
    if let Some(swap) = &status.swap {
        out.line("SwapPriority", swap.priority, "");
        out.line("SwapUsed", swap.used_bytes / 1024, " kB");
    }
    out.line("SamePages", stats.same_pages, "");
    out.line("BackingPages", stats.backing_pages, "");
    out.line("SlotTable", stats.table_bytes / 1024, " kB");
    out.line("Reserve", stats.reserve_bytes / 1024, " kB");
    out.line("ReserveMisses", stats.reserve_misses, "");
    out.line("Evacuated", stats.evacuated, "");
    out.line("Corrupt", stats.corrupt, "");
    out.line("Recompress", &status.recompress, "");
    out.line("RecompressAfter", status.recompress_after, " s");
    out.line("RecompressCPU", status.recompress_cpu, " %");
    out.line("Recompressed", stats.recompressed, "");
    out.line("RecompressSaved", stats.recompress_saved / 1024, " kB");
    out.line("RecompressInVain", stats.recompress_in_vain, "");
    out.line("RecompressTime", stats.recompress_cpu_ns / 1_000_000, " ms");
    for held in &stats.codecs {
        out.line(&format!("Pages.{}", held.codec), held.pages, "");
        out.line(&format!("Size.{}", held.codec), held.bytes / 1024, " kB");
    }
    for (label, histogram) in [
        ("Store", &stats.store_latency),
        ("Load", &stats.load_latency),
    ] {
        for (name, share) in [("P50", 0.50), ("P99", 0.99)] {
            if let Some(bound) = quantile(histogram, share) {
                out.line(
                    &format!("{label}{name}"),
                    format_args!("{bound:>8}"),
                    " ns or less",
                );
            }
        }
    }
    out.0
}

/// The upper bound in ns of the bucket in which the given share of all operations is reached;
/// `None` where there were none. Bucket `i` counts `2^i..2^(i+1)` ns.
#[must_use]
pub fn quantile(histogram: &[u64], share: f64) -> Option<u64> {
    let all: u64 = histogram.iter().sum();
    let wanted = (all as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    let bucket = histogram.iter().position(|&count| {
        seen += count;
        seen >= wanted
    })?;
    Some(1u64 << (bucket + 1).min(63))
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, label: &str, value: impl Display, unit: &str) {
        // Writing to a String can't fail. `Path::display` and `format_args!` pad as numbers do
        // only once they are text.
        let value = value.to_string();
        let _ = writeln!(self.0, "{label}:\t{value:>8}{unit}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::device_status;

    #[test]
    fn without_a_backing_swap() {
        let mut status = device_status(0);
        status.disksize = 1 << 30;
        status.stats.reads = 12;
        status.stats.writes = 123_456_789;
        status.stats.notify_free = 7;
        status.stats.zero_pages = 40;
        status.stats.same_pages = 2;
        status.stats.pages_stored = 200;
        status.stats.good_compress = 151;
        status.stats.no_compress = 3;
        status.stats.compr_bytes = 300 * 1024 + 1023;
        status.stats.pool_bytes = 6 * 65536;
        let expected = "\
DiskSize:\t 1048576 kB
NumReads:\t      12
NumWrites:\t123456789
FailedReads:\t       0
FailedWrites:\t       0
InvalidIO:\t       0
NotifyFree:\t       7
ZeroPages:\t      40
GoodCompress:\t      75 %
NoCompress:\t       1 %
PagesStored:\t     200
PagesUsed:\t      96
OrigDataSize:\t     800 kB
ComprDataSize:\t     300 kB
MemUsedTotal:\t     384 kB
";
        assert_eq!(format(&status), expected);
    }

    #[test]
    fn with_a_backing_swap() {
        let mut status = device_status(0);
        status.backing_swap = Some("/dev/sda2".into());
        status.disksize = 512 << 20;
        status.memlimit = Some(64 << 20);
        status.stats.failed_reads = 1;
        status.stats.failed_writes = 2;
        status.stats.invalid_io = 3;
        status.stats.backing_reads = 4;
        status.stats.backing_writes = 5;
        let expected = "\
BackingSwap:\t/dev/sda2
DiskSize:\t  524288 kB
MemLimit:\t   65536 kB
NumReads:\t       0
NumWrites:\t       0
FailedReads:\t       1
FailedWrites:\t       2
InvalidIO:\t       3
NotifyFree:\t       0
ZeroPages:\t       0
GoodCompress:\t       0 %
NoCompress:\t       0 %
PagesStored:\t       0
PagesUsed:\t       0
OrigDataSize:\t       0 kB
ComprDataSize:\t       0 kB
MemUsedTotal:\t       0 kB
BDevNumReads:\t       4
BDevNumWrites:\t       5
";
        assert_eq!(format(&status), expected);
    }

    #[test]
    fn more_lines_have_the_same_form() {
        let mut status = device_status(0);
        status.stats.store_latency[10] = 5;
        for line in format_more(&status).lines() {
            let (label, value) = line.split_once(":\t").unwrap();
            assert!(!label.is_empty() && value.len() >= 8, "{line}");
        }
        assert!(format_more(&status).contains("StoreP99:\t    2048 ns or less\n"));
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[0; 32], 0.5), None);
        let mut histogram = [0; 32];
        histogram[3] = 99;
        histogram[9] = 1;
        assert_eq!(quantile(&histogram, 0.5), Some(16));
        assert_eq!(quantile(&histogram, 0.99), Some(16));
        assert_eq!(quantile(&histogram, 1.0), Some(1024));
    }
}
