//! How `pool` is printed and drawn.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use compcache_engine::CodecSpec;

use super::backend::Contender;
use super::{MOMENTS, PoolReport, Row};
use crate::plot::{self, Named, Titles};
use crate::report::Report;
use crate::table::Table;

impl Report for PoolReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        // A table with a column for each moment.
        let mut print = |title: &str, cell: &dyn Fn(&Row, usize) -> Option<String>| {
            let mut table = Table::new(|row: &Row| row.pool.clone());
            for (at, moment) in MOMENTS.into_iter().enumerate() {
                table = table.column(moment, move |row| cell(row, at).unwrap_or_default());
            }
            table.print(out, title, &self.rows)?;
            writeln!(out)
        };
        print("overhead of the pool", &|row, at| {
            let (_, measured) = row.moments.get(at)?;
            Some(format!("{:.1} %", measured.overhead * 100.0))
        })?;
        print("all memory / pages", &|row, at| {
            let (_, measured) = row.moments.get(at)?;
            Some(format!("{:.3}", measured.memory))
        })?;
        let reference = self.rows.first();
        if let Some(reference) = reference.filter(|row| !row.memory_to_zram.is_empty()) {
            print(&format!("memory to {}", reference.pool), &|row, at| {
                let (_, ratio) = row.memory_to_zram.get(at)?;
                Some(format!("{ratio:.2} x"))
            })?;
        }
        writeln!(
            out,
            "(overhead: pool bytes / chunk bytes - 1, without the reserve of empty frames; all\n \
             memory: with the reserve and the slot table; compact: asked of zram, ours does it\n \
             itself; cold: all pages recompressed with zstd:1 a second before the first three looks;\n \
             medians of the rounds)"
        )
    }

    fn plot(&self, directory: &Path) -> Result<()> {
        let default = Contender::Ours(CodecSpec::default()).to_string();
        let percent = |&(stores, overhead): &(f64, f64)| (stores, overhead * 100.0);
        let line = |row: &Row| {
            let points = row.over_time.iter().map(percent).collect();
            Named::new(row.pool.clone(), row.ours, points)
        };
        let rows = self.rows.iter();
        let rows = rows.filter(|row| !row.ours || row.pool == default);
        let lines: Vec<_> = rows.map(line).collect();
        let titles = Titles {
            title: "Pool beyond the compressed bytes: overwrites, then processes that come and go",
            x: "times that every page was written",
            y: "overhead, %",
        };
        plot::lines(&directory.join("pool-overhead.svg"), &titles, &lines)
    }
}
