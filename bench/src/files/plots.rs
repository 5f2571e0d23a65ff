//! The plots of `files`: total times, and memory over time.

use std::path::Path;

use anyhow::Result;

use super::row::Row;
use super::table::FilesReport;
use super::throttle::Throttle;
use crate::plot::{self, Bar, Line, Plots, Side, Titles};

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
            let bars: Vec<Bar> = rows
                .map(|row| Bar {
                    label: label(row),
                    side: Side::Ours,
                    value: row.compared(),
                })
                .collect();
            plot::bars(
                &directory.join(name).with_extension("svg"),
                &Titles {
                    title: &format!("{} MiB of memory, disk {throttle}", self.limit >> 20),
                    x: "time divided by the bare directory's: less is better",
                    y: "",
                },
                &bars,
            )?;
        }
        let Some(row) = self
            .rows
            .iter()
            .find(|row| row.ours && row.series.len() > 1)
        else {
            return Ok(());
        };
        let line = |label: &str, side, value: fn(&super::work::Sample) -> u64| Line {
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

/// The workload; and the place, where that is not what a user gets who chooses nothing.
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
