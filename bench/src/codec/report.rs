//! How `codec` is printed and drawn.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;

use super::CodecReport;
use super::contender::Whose;
use super::library::REFERENCE;
use super::row::Row;
use crate::capture::Kind;
use crate::plot::{self, Named, Titles};
use crate::report::Report;
use crate::table::Table;

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

    fn plot(&self, directory: &Path) -> Result<()> {
        for kind in [Kind::Anonymous, Kind::File] {
            let rows = self.rows.iter().filter(|row| row.kind == kind);
            let point = |row: &Row| {
                let at = (row.values.compress_to_lz4, row.values.ratio);
                Named::new(row.name(), row.whose == Whose::Ours, at)
            };
            let points: Vec<_> = rows.map(point).collect();
            if points.is_empty() {
                continue;
            }
            plot::points(
                &directory.join(format!("codec-{}.svg", kind.name())),
                &Titles {
                    title: &format!("Codecs on {} pages: right and low is better", kind.name()),
                    x: &format!(
                        "compression speed, divided by {REFERENCE} (*: block layer included)"
                    ),
                    y: "compressed bytes / original bytes",
                },
                &points,
            )?;
        }
        Ok(())
    }
}

fn print_kind(out: &mut dyn Write, kind: Kind, rows: &[&Row]) -> io::Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let speed = |mb_s: f64, to_lz4: f64| format!("{mb_s:.0} ({to_lz4:>5.2} x)");
    let mut table = Table::new(Row::name)
        .column("ratio", |row| {
            format!("{:.3} ({:.2} x)", row.values.ratio, row.values.ratio_to_lz4)
        })
        .column("compress MB/s", |row| {
            speed(row.values.compress_mb_s, row.values.compress_to_lz4)
        })
        .column("decompress MB/s", |row| {
            speed(row.values.decompress_mb_s, row.values.decompress_to_lz4)
        })
        .column("p99 c", |row| format!("{:.1}", row.compress_p99_us))
        .column("p99 d", |row| format!("{:.1}", row.decompress_p99_us))
        .column(">3072 B", |row| {
            format!("{:.1} %", row.values.over_limit * 100.0)
        });
    for (at, of) in first.sources.iter().enumerate() {
        table = table.column(&of.source, move |row| {
            format!("{:.3}", row.sources[at].values.ratio)
        });
    }
    table.print(out, kind.name(), rows.iter().copied())?;
    writeln!(out)
}
