//! The plots of `files`: total times, and memory over time.

use std::path::Path;

use anyhow::Result;

use super::row::Row;
use super::table::FilesReport;
use super::throttle::Throttle;
use crate::plot::{self, Line, Plots, Side, Titles};

impl Plots for FilesReport {
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
            let bar = |row: &Row| plot::Row {
                label: label(row),
                side: Side::Ours,
                values: [row.compared()],
            };
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
        let line = |label: &str, side, value: fn(&super::work::job::Sample) -> u64| Line {
            label: label.into(),
            side,
            points: row
                .series
                .iter()
                .map(|sample| (sample.seconds, value(sample) as f64 / f64::from(1 << 20)))
                .collect(),
        };
        plot::lines(
            &directory.join("files-adapt.svg"),
            &Titles {
                title: "A working set that grows and shrinks",
                x: "seconds",
                y: "MiB",
            },
            &[
                line("working set", Side::Peer, |sample| sample.working_set),
                line("compressed", Side::Ours, |sample| sample.pool),
            ],
        )
    }
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
