//! How `files` is printed.

use std::io::{self, Write};

use serde::Serialize;

use super::row::Row;
use super::work::job::Part;
use crate::report::Report;
use crate::table::{self, short};

/// The rows, those of one workload and speed of the disk one after the other.
#[derive(Debug, Serialize)]
pub(crate) struct FilesReport {
    /// Bytes of memory for all processes.
    pub(crate) limit: u64,
    /// Bytes that the cache of our mount may take of them.
    pub(crate) cache: u64,
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// The workloads, or their runs, that were left out, and why.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Report for FilesReport {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} MiB of memory for all who take part, {} of them for our cache",
            self.limit >> 20,
            self.cache >> 20
        )?;
        let same = |a: &Row, b: &Row| a.workload == b.workload && a.throttle == b.throttle;
        for rows in self.rows.chunk_by(same) {
            print_rows(out, rows)?;
        }
        for (workload, why) in &self.left_out {
            writeln!(out, "\n{workload}: left out, {why}")?;
        }
        writeln!(
            out,
            "\n(medians of the rounds; first: from a cold start, zram's and tmpfs's files were\n \
             copied before; steady: what comes after it and a\n \
             warm-up that does not count; x: divided by the bare directory's in the same round; target: what x of\n \
             total, or of steady, should be at most)"
        )
    }
}

fn print_rows(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let headings = ["first s", "x", "steady s", "x", "total s", "x", "target"];
    let title = format!("{}, {}", first.workload, first.throttle);
    let cells = |row: &Row| {
        let target = match row.target {
            None => String::new(),
            Some((Part::Total, ratio)) => format!("total {ratio:.2}"),
            Some((Part::Steady, ratio)) => format!("steady {ratio:.2}"),
        };
        let times = [row.first_s, row.first_to, row.steady_s, row.steady_to];
        let mut cells: Vec<String> = times.map(short).into();
        cells.extend([short(row.total_s), short(row.total_to), target]);
        cells
    };
    let table = rows.iter().map(|row| (row.place.as_str(), cells(row)));
    writeln!(out)?;
    table::print(out, &title, &headings, table)?;
    for row in rows.iter().filter(|row| !row.values.is_empty()) {
        let values: Vec<String> = row
            .values
            .iter()
            .map(|(name, value)| format!("{name} {}", short(*value)))
            .collect();
        writeln!(out, "  {}: {}", row.place, values.join(", "))?;
    }
    Ok(())
}
