//! How `codec` is printed.

use std::io::{self, Write};

use super::CodecReport;
use super::contender::{REFERENCE, Whose};
use super::row::Row;
use crate::capture::Kind;
use crate::report::Report;

impl Report for CodecReport {
    /// A table for each kind of memory: speeds, then the ratio on each source.
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for kind in [Kind::Anonymous, Kind::File] {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.kind == kind).collect();
            print_kind(out, kind, &rows)?;
        }
        let pages: Vec<String> = self
            .sources
            .iter()
            .map(|(source, pages)| format!("{source} {pages}"))
            .collect();
        writeln!(
            out,
            "(x: divided by {REFERENCE} in the same round; medians of the rounds, geometric means of\n \
             the sources; p99: us for a page; *: through a zram device, the block layer included;\n \
             pages: {})",
            pages.join(", ")
        )
    }
}

fn print_kind(out: &mut dyn Write, kind: Kind, rows: &[&Row]) -> io::Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    write!(
        out,
        "{:<13} {:>14} {:>16} {:>16} {:>6} {:>6} {:>7}",
        kind.name(),
        "ratio",
        "compress MB/s",
        "decompress MB/s",
        "p99 c",
        "p99 d",
        ">3072 B"
    )?;
    for of in &first.sources {
        write!(out, " {:>8}", of.source)?;
    }
    writeln!(out)?;
    for row in rows {
        let mark = if row.whose == Whose::Kernel { "*" } else { "" };
        write!(
            out,
            "{:<13} {:>5.3} ({:>4.2} x) {:>6.0} ({:>5.2} x) {:>6.0} ({:>5.2} x) {:>6.1} {:>6.1} {:>5.1} %",
            format!("{}{mark}", row.codec),
            row.ratio,
            row.ratio_to_lz4,
            row.compress_mb_s,
            row.compress_to_lz4,
            row.decompress_mb_s,
            row.decompress_to_lz4,
            row.compress_p99_us,
            row.decompress_p99_us,
            row.over_limit * 100.0,
        )?;
        for of in &row.sources {
            write!(out, " {:>8.3}", of.ratio)?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}
