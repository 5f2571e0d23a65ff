//! `rzscontrol --stats`: the lines that scripts written for the original parse.

use std::fmt::{Display, Write as _};
use std::path::PathBuf;

use compcache_device::DeviceStatus;
use compcache_device::kernel::ioctl::Stats;
use compcache_host::printable::Printable;

/// Kilobytes in a page.
const PAGE_KB: u64 = 4;

/// The statistics that the original had, wherever they come from.
struct Original {
    backing_swap: Option<PathBuf>,
    disksize: u64,
    memlimit: u64,
    reads: u64,
    writes: u64,
    failed_reads: u64,
    failed_writes: u64,
    invalid_io: u64,
    notify_free: u64,
    zero_pages: u64,
    good_compress_percent: u64,
    no_compress_percent: u64,
    pages_stored: u64,
    pages_used: u64,
    original_bytes: u64,
    compr_bytes: u64,
    memory_bytes: u64,
    backing_reads: u64,
    backing_writes: u64,
}

impl From<&DeviceStatus> for Original {
    fn from(status: &DeviceStatus) -> Original {
        let stats = &status.stats.store;
        let percent = |pages: u64| match u128::from(stats.pages_stored) {
            0 => 0,
            // Not over 100: these are pages stored, too.
            all => (u128::from(pages) * 100 / all) as u64,
        };
        Original {
            backing_swap: status.backing_swap.clone(),
            disksize: status.disksize,
            memlimit: status.memlimit.unwrap_or(0),
            reads: stats.reads,
            writes: stats.writes,
            failed_reads: stats.failed_reads,
            failed_writes: stats.failed_writes,
            invalid_io: status.stats.invalid_io,
            notify_free: stats.notify_free,
            zero_pages: stats.zero_pages,
            good_compress_percent: percent(stats.good_compress),
            no_compress_percent: percent(stats.no_compress),
            pages_stored: stats.pages_stored,
            pages_used: stats.pool_bytes.div_ceil(PAGE_KB * 1024),
            original_bytes: stats.pages_stored * PAGE_KB * 1024,
            compr_bytes: stats.compr_bytes,
            memory_bytes: stats.pool_bytes,
            backing_reads: stats.backing_reads,
            backing_writes: stats.backing_writes,
        }
    }
}

impl From<&Stats> for Original {
    fn from(stats: &Stats) -> Original {
        Original {
            backing_swap: stats.backing_swap(),
            disksize: stats.disksize,
            memlimit: stats.memlimit,
            reads: stats.num_reads,
            writes: stats.num_writes,
            failed_reads: stats.failed_reads,
            failed_writes: stats.failed_writes,
            invalid_io: stats.invalid_io,
            notify_free: stats.notify_free,
            zero_pages: stats.pages_zero.into(),
            good_compress_percent: stats.good_compress_pct.into(),
            no_compress_percent: stats.pages_expand_pct.into(),
            pages_stored: stats.pages_stored.into(),
            pages_used: stats.pages_used.into(),
            original_bytes: stats.orig_data_size,
            compr_bytes: stats.compr_data_size,
            memory_bytes: stats.mem_used_total,
            backing_reads: stats.bdev_num_reads,
            backing_writes: stats.bdev_num_writes,
        }
    }
}

/// The statistics in the form of the original: label, colon, tab, value right-aligned in 8.
#[must_use]
pub fn format(status: &DeviceStatus) -> String {
    lines(&status.into())
}

/// The same of what a device of the kernel driver answers to the original's ioctl.
#[must_use]
pub(super) fn format_ioctl(stats: &Stats) -> String {
    lines(&stats.into())
}

fn lines(stats: &Original) -> String {
    let mut out = Lines::default();
    if let Some(backing) = &stats.backing_swap {
        out.line("BackingSwap", backing.display(), "");
    }
    out.line("DiskSize", stats.disksize / 1024, " kB");
    if stats.backing_swap.is_some() || stats.memlimit > 0 {
        out.line("MemLimit", stats.memlimit / 1024, " kB");
    }
    out.line("NumReads", stats.reads, "");
    out.line("NumWrites", stats.writes, "");
    out.line("FailedReads", stats.failed_reads, "");
    out.line("FailedWrites", stats.failed_writes, "");
    out.line("InvalidIO", stats.invalid_io, "");
    out.line("NotifyFree", stats.notify_free, "");
    out.line("ZeroPages", stats.zero_pages, "");
    out.line("GoodCompress", stats.good_compress_percent, " %");
    out.line("NoCompress", stats.no_compress_percent, " %");
    out.line("PagesStored", stats.pages_stored, "");
    out.line("PagesUsed", stats.pages_used, "");
    out.line("OrigDataSize", stats.original_bytes / 1024, " kB");
    out.line("ComprDataSize", stats.compr_bytes / 1024, " kB");
    out.line("MemUsedTotal", stats.memory_bytes / 1024, " kB");
    if stats.backing_swap.is_some() {
        out.line("BDevNumReads", stats.backing_reads, "");
        out.line("BDevNumWrites", stats.backing_writes, "");
    }
    out.0
}

/// What the original did not have, in the same form: for `--verbose`.
#[must_use]
pub fn format_more(status: &DeviceStatus) -> String {
    let stats = &status.stats.store;
    let mut out = Lines::default();
    out.line("Codec", &status.codec, "");
    if let Some(block_device) = &status.block_device {
        out.line("BlockDevice", block_device.display(), "");
    }
    if let Some(encryption) = &status.backing_encryption {
        out.line("BackingEncryption", encryption, "");
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
    out.line("RecompressNoGain", stats.recompress_no_gain, "");
    out.line(
        "RecompressTime",
        status.stats.recompress_cpu_ns / 1_000_000,
        " ms",
    );
    for (codec, held) in stats.by_codec() {
        let name = codec.name();
        out.line(&format!("Pages.{name}"), held.pages, "");
        out.line(&format!("Size.{name}"), held.bytes / 1024, " kB");
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
/// `None` if there were none. Bucket `i` counts `2^i..2^(i+1)` ns.
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
        let value = Printable(value).to_string();
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
        status.stats.store.reads = 12;
        status.stats.store.writes = 123_456_789;
        status.stats.store.notify_free = 7;
        status.stats.store.zero_pages = 40;
        status.stats.store.same_pages = 2;
        status.stats.store.pages_stored = 200;
        status.stats.store.good_compress = 151;
        status.stats.store.no_compress = 3;
        status.stats.store.compr_bytes = 300 * 1024 + 1023;
        status.stats.store.pool_bytes = 6 * 65536;
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
        status.stats.store.failed_reads = 1;
        status.stats.store.failed_writes = 2;
        status.stats.invalid_io = 3;
        status.stats.store.backing_reads = 4;
        status.stats.store.backing_writes = 5;
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
        assert!(!format_more(&status).contains("BackingEncryption"));
        status.backing_encryption = Some("aes-256-gcm".into());
        let more = format_more(&status);
        assert!(more.contains("BackingEncryption:\taes-256-gcm\n"), "{more}");
    }

    #[test]
    fn a_memory_limit_is_shown_without_a_backing_swap_too() {
        let mut status = device_status(0);
        status.disksize = 16 << 20;
        status.memlimit = Some(8 << 20);
        let lines = format(&status);
        let expected = "DiskSize:\t   16384 kB\nMemLimit:\t    8192 kB\nNumReads:";
        assert!(lines.starts_with(expected), "{lines}");
    }

    #[test]
    fn the_answer_to_the_ioctl_gives_the_same_lines() {
        let mut status = device_status(0);
        status.backing_swap = Some("/dev/sda2".into());
        status.memlimit = Some(64 << 20);
        status.stats.store.reads = 12;
        status.stats.store.notify_free = 7;
        status.stats.store.zero_pages = 40;
        status.stats.store.pages_stored = 200;
        status.stats.store.good_compress = 151;
        status.stats.store.compr_bytes = 300 * 1024;
        status.stats.store.pool_bytes = 6 * 65536;
        status.stats.store.backing_writes = 5;
        let mut answer = Stats {
            backing_swap_name: [0; 128],
            memlimit: 64 << 20,
            disksize: status.disksize,
            num_reads: 12,
            num_writes: 0,
            failed_reads: 0,
            failed_writes: 0,
            invalid_io: 0,
            notify_free: 7,
            pages_zero: 40,
            good_compress_pct: 75,
            pages_expand_pct: 0,
            pages_stored: 200,
            pages_used: 96,
            orig_data_size: 200 * 4096,
            compr_data_size: 300 * 1024,
            mem_used_total: 6 * 65536,
            bdev_num_reads: 0,
            bdev_num_writes: 5,
        };
        answer.backing_swap_name[..9].copy_from_slice(b"/dev/sda2");
        assert_eq!(format_ioctl(&answer), format(&status));
    }

    #[test]
    fn more_lines_have_the_same_form() {
        let mut status = device_status(0);
        status.stats.store.store_latency[10] = 5;
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
