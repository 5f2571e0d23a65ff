//! How `codec` is printed.

use std::io::{self, Write};

use super::CodecReport;
use super::library::REFERENCE;
use super::row::Row;
use crate::capture::Kind;
use crate::report::Report;
use crate::table;

impl Report for CodecReport {
    /// A table for each kind of memory: speeds, then the ratio on each source.
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for kind in [Kind::Anonymous, Kind::File] {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.kind == kind).collect();
            print_kind(out, kind, &rows)?;
        }
        let pages = self.sources.iter();
        let pages: Vec<String> = pages.map(|(of, pages)| format!("{of} {pages}")).collect();
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
    let mut headings = vec![
        "ratio",
        "compress MB/s",
        "decompress MB/s",
        "p99 c",
        "p99 d",
        ">3072 B",
    ];
    headings.extend(first.sources.iter().map(|of| of.source.as_str()));
    let cells = |row: &Row| {
        let of = &row.values;
        let mut cells = vec![
            format!("{:.3} ({:.2} x)", of.ratio, of.ratio_to_lz4),
            format!("{:.0} ({:>5.2} x)", of.compress_mb_s, of.compress_to_lz4),
            format!(
                "{:.0} ({:>5.2} x)",
                of.decompress_mb_s, of.decompress_to_lz4
            ),
            format!("{:.1}", row.compress_p99_us),
            format!("{:.1}", row.decompress_p99_us),
            format!("{:.1} %", of.over_limit * 100.0),
        ];
        let sources = row.sources.iter();
        cells.extend(sources.map(|of| format!("{:.3}", of.values.ratio)));
        cells
    };
    let names: Vec<String> = rows.iter().map(|row| row.name()).collect();
    let rows = names.iter().zip(rows);
    let rows = rows.map(|(name, row)| (name.as_str(), cells(row)));
    table::print(out, kind.name(), &headings, rows)?;
    writeln!(out)
}
