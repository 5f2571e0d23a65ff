//! How `files` is printed and drawn.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::row::Row;
use super::throttle::Throttle;
use super::work::job::{Part, Sample};
use crate::plot::{self, Named, Titles};
use crate::report::Report;
use crate::table::{Table, short};

/// The rows, those of one workload and speed of the disk one after the other.
#[derive(Debug, Serialize)]
pub(crate) struct FilesReport {
    /// Bytes of memory for all processes.
    pub(crate) limit: u64,
    /// Bytes that the cache of our mount may take of them.
    pub(crate) cache: u64,
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

    fn plot(&self, directory: &Path) -> Result<()> {
        let mut throttles: Vec<Throttle> = self.rows.iter().map(|row| row.throttle).collect();
        throttles.sort_by_key(|throttle| *throttle == Throttle::None);
        throttles.dedup();
        for throttle in throttles {
            let name = match throttle {
                Throttle::None => "files-total",
                Throttle::At { .. } => "files-total-throttled",
            };
            let rows = self
                .rows
                .iter()
                .filter(|row| row.throttle == throttle && row.ours);
            let bar = |row: &Row| Named::new(label(row), true, [row.compared()]);
            plot::bars(
                &directory.join(name).with_extension("svg"),
                &Titles {
                    title: &format!("{} MiB of memory, disk {throttle}", self.limit >> 20),
                    x: "time / the bare directory's: less is better",
                    y: "",
                },
                &rows.map(bar).collect::<Vec<_>>(),
            )?;
        }
        let has_series = |row: &&Row| row.ours && row.series.len() > 1;
        let Some(row) = self.rows.iter().find(has_series) else {
            return Ok(());
        };
        let line = |label, ours, bytes: fn(&Sample) -> u64| {
            let mib = |of: &Sample| bytes(of) as f64 / f64::from(1 << 20);
            let points = row.series.iter().map(|of| (of.seconds, mib(of)));
            Named::new(label, ours, points.collect())
        };
        plot::lines(
            &directory.join("files-adapt.svg"),
            &Titles {
                title: "A working set that grows and shrinks",
                x: "seconds",
                y: "MiB",
            },
            &[
                line("working set", false, |sample| sample.working_set),
                line("compressed", true, |sample| sample.pool),
            ],
        )
    }
}

fn print_rows(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let target = |row: &Row| match row.target {
        None => String::new(),
        Some((Part::Total, ratio)) => format!("total {ratio:.2}"),
        Some((Part::Steady, ratio)) => format!("steady {ratio:.2}"),
    };
    writeln!(out)?;
    Table::new(|row: &Row| row.place.clone())
        .column("first s", |row| short(row.first_s))
        .column("x", |row| short(row.first_to))
        .column("steady s", |row| short(row.steady_s))
        .column("x", |row| short(row.steady_to))
        .column("total s", |row| short(row.total_s))
        .column("x", |row| short(row.total_to))
        .column("target", target)
        .print(
            out,
            &format!("{}, {}", first.workload, first.throttle),
            rows,
        )?;
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

/// The workload; and the place, if that is not what a user gets who chooses nothing.
fn label(row: &Row) -> String {
    let default = format!("ours {}", compcache_engine::CodecSpec::default());
    match row.place.strip_prefix(&default) {
        Some("") => row.workload.clone(),
        Some(rest) => format!("{}{rest}", row.workload),
        None => format!(
            "{}, {}",
            row.workload,
            row.place.trim_start_matches("ours ")
        ),
    }
}
