//! The plots of `swap`: total time and times of faults, of the first number of processes.

use std::path::Path;

use anyhow::Result;

use super::row::{Row, entry};
use super::table::SwapReport;
use crate::plot::{self, Plots, Side, Titles};

fn plotted<const N: usize>(row: &Row, values: [f64; N]) -> plot::Row<N> {
    plot::Row {
        label: row.area.clone(),
        side: Side::of(row.ours),
        values,
    }
}

fn totals<'a>(
    path: &Path,
    title: &str,
    peer: &str,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<()> {
    let titles = Titles {
        title,
        x: &format!("total time / {peer}'s: less is better"),
        y: "",
    };
    let bars = rows.map(|row| plotted(row, [entry(&row.total_to, peer)]));
    plot::bars(path, &titles, &bars.collect::<Vec<_>>())
}

impl Plots for SwapReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        let first = self.rows.first().map(|row| row.processes);
        let rows = || self.rows.iter().filter(|row| Some(row.processes) == first);
        let reference = self.references.first().map_or("", String::as_str);
        let (bytes, limit) = (self.bytes >> 20, self.limit >> 20);
        let title = format!("{bytes} MiB of pages in {limit} MiB of memory: total time");
        totals(&directory.join("swap-total.svg"), &title, reference, rows())?;
        if let Some(same) = &self.same_memory {
            let path = directory.join("swap-same-memory.svg");
            let title = "The same memory in all: total time";
            totals(&path, title, &same.peer, same.rows.iter())?;
        }
        let swapping = rows().filter(|row| row.faults > 0.0);
        let ranges = swapping.map(|row| plotted(row, [row.fault_us[0], row.fault_us[1]]));
        plot::ranges(
            &directory.join("swap-faults.svg"),
            &Titles {
                title: "Time of a fault: p50 (dot) and p99 (bar)",
                x: "microseconds: less is better",
                y: "",
            },
            &ranges.collect::<Vec<_>>(),
        )
    }
}
