//! The status of mounts, for people.

use std::fmt::{Display, Write as _};

use compcache_engine::disk::PAGE;
use compcache_host::printable::Printable;
use compcached::size::human;
use compcached::types::{MountStatus, Writes};

use crate::columns::{self, Column};

const COLUMNS: [Column<'_>; 9] = [
    ("SOURCE", false),
    ("MOUNTPOINT", false),
    ("WRITE", false),
    ("LIMIT", true),
    ("POOL", true),
    ("PAGES", true),
    ("RATIO", true),
    ("HIT", true),
    ("DIRTY", true),
];

/// A table of mounts.
pub(crate) fn rows(mounts: &[MountStatus]) -> String {
    columns::format(&COLUMNS, mounts.iter().map(row))
}

fn row(mount: &MountStatus) -> [String; COLUMNS.len()] {
    [
        source(mount).to_owned(),
        mount.mountpoint.clone(),
        mount.write.to_string(),
        human(mount.limit),
        human(mount.pool_bytes + mount.index_bytes),
        human(mount.pages * PAGE),
        ratio(mount).map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
        hit_rate(mount).map_or_else(|| "-".into(), |rate| format!("{rate:.0}%")),
        human(mount.dirty_pages * PAGE),
    ]
}

/// All about a mount, a line each.
pub(crate) fn details(mount: &MountStatus) -> String {
    let mut out = format!("{}\n", Printable(&mount.mountpoint));
    let mut line = |label: &str, value: &dyn Display| {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{label:<14}{}", Printable(value));
    };
    line("Source", &source(mount));
    line("Write", &write_policy(mount));
    line("Codec", &mount.codec);
    line("Limit", &human(mount.limit));
    line("Target", &human(mount.target));
    line("Pool", &human(mount.pool_bytes));
    line("Index", &human(mount.index_bytes));
    let pages = format!(
        "{} in {} pages, {} of them active",
        human(mount.pages * PAGE),
        mount.pages,
        mount.active_pages
    );
    line("Held", &pages);
    line("Compressed", &human(mount.compressed_bytes));
    if let Some(ratio) = ratio(mount) {
        line("Ratio", &format_args!("{ratio:.2}"));
    }
    let dirty = format!(
        "{} in {} pages",
        human(mount.dirty_pages * PAGE),
        mount.dirty_pages
    );
    line("Dirty", &dirty);
    line("Files", &mount.files);
    line("Inodes", &mount.inodes);
    line("Shadows", &mount.shadows);
    line("Hits", &mount.counts.hits);
    line("Misses", &mount.counts.misses);
    if let Some(rate) = hit_rate(mount) {
        line("Hit rate", &format_args!("{rate:.1}%"));
    }
    for (label, count) in [
        ("Refaults", mount.counts.refaults),
        ("Admitted", mount.counts.admitted),
        ("Bypassed", mount.counts.bypassed),
        ("Evicted", mount.counts.evicted),
        ("Writes", mount.counts.writes),
        ("Written back", mount.written_back),
        ("Write errors", mount.write_errors),
        ("Corrupt", mount.counts.corrupt),
        ("Invalidated", mount.invalidated),
    ] {
        line(label, &count);
    }
    out
}

/// What becomes of writes, as the command line calls it.
pub(crate) fn write_policy(mount: &MountStatus) -> &'static str {
    match mount.write {
        Writes::Through => "write-through",
        Writes::Back => "write-back",
        Writes::Ram => "ram",
    }
}

fn source(mount: &MountStatus) -> &str {
    if mount.source.is_empty() {
        "ram"
    } else {
        &mount.source
    }
}

/// How many times smaller the pages became; `None` if there are none.
fn ratio(mount: &MountStatus) -> Option<f64> {
    let compressed = mount.compressed_bytes;
    (compressed > 0).then(|| (mount.pages * PAGE) as f64 / compressed as f64)
}

/// The share of accesses that were hits, in per cent.
fn hit_rate(mount: &MountStatus) -> Option<f64> {
    let asked = mount.counts.hits + mount.counts.misses;
    (asked > 0).then(|| mount.counts.hits as f64 * 100.0 / asked as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_engine::ccache::Counts;

    fn mounts() -> [MountStatus; 2] {
        [
            MountStatus {
                source: "/srv/data".into(),
                mountpoint: "/mnt/data".into(),
                write: Writes::Back,
                codec: "lz4".into(),
                limit: 1 << 30,
                target: 1 << 29,
                pool_bytes: 100 << 20,
                index_bytes: 2 << 20,
                pages: 76_800,
                active_pages: 70_000,
                compressed_bytes: 96 << 20,
                dirty_pages: 256,
                counts: Counts {
                    hits: 900,
                    misses: 100,
                    ..Counts::default()
                },
                ..MountStatus::default()
            },
            MountStatus {
                mountpoint: "/mnt/ram".into(),
                write: Writes::Ram,
                limit: 2 << 30,
                ..MountStatus::default()
            },
        ]
    }

    #[test]
    fn the_table() {
        let expected = "\
SOURCE     MOUNTPOINT  WRITE  LIMIT  POOL  PAGES  RATIO  HIT  DIRTY
/srv/data  /mnt/data   back      1G  102M   300M   3.12  90%     1M
ram        /mnt/ram    ram       2G    0B     0B      -    -     0B
";
        assert_eq!(rows(&mounts()), expected);
    }

    #[test]
    fn the_details() {
        let [data, ram] = mounts();
        let text = details(&data);
        for line in [
            "Source        /srv/data\n",
            "Write         write-back\n",
            "Held          300M in 76800 pages, 70000 of them active\n",
            "Ratio         3.12\n",
            "Hit rate      90.0%\n",
            "Write errors  0\n",
        ] {
            assert!(text.contains(line), "{line:?} not in {text}");
        }
        assert!(text.starts_with("/mnt/data\n"), "{text}");
        assert!(!details(&ram).contains("Ratio"));
    }
}
