//! The plots of `swap`: total time and times of faults, of the first number of processes.

use std::path::Path;

use anyhow::Result;

use super::row::{Row, entry};
use super::table::SwapReport;
use crate::plot::{self, Bar, Plots, Range, Side, Titles};

impl Plots for SwapReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        let first = self.rows.first().map(|row| row.processes);
        let rows = || self.rows.iter().filter(|row| Some(row.processes) == first);
        let side = |row: &Row| if row.ours { Side::Ours } else { Side::Peer };
        let reference = self.references.first().map_or("", String::as_str);
        let bar = |row: &Row| Bar {
            label: row.area.clone(),
            side: side(row),
            value: entry(&row.total_to, reference),
        };
        plot::bars(
            &directory.join("swap-total.svg"),
            &Titles {
                title: &format!(
                    "{} MiB of pages in {} MiB of memory: total time",
                    self.bytes >> 20,
                    self.limit >> 20
                ),
                x: &format!("divided by {reference}: less is better"),
                y: "",
            },
            &rows().map(bar).collect::<Vec<_>>(),
        )?;
        if let Some(same) = &self.same_memory {
            let bar = |row: &Row| Bar {
                label: row.area.clone(),
                side: side(row),
                value: entry(&row.total_to, &same.peer),
            };
            plot::bars(
                &directory.join("swap-same-memory.svg"),
                &Titles {
                    title: "The same memory in all: total time",
                    x: &format!("divided by {}: less is better", same.peer),
                    y: "",
                },
                &same.rows.iter().map(bar).collect::<Vec<_>>(),
            )?;
        }
        let range = |row: &Row| Range {
            label: row.area.clone(),
            side: side(row),
            values: [row.fault_us[0], row.fault_us[1]],
        };
        let swapping = rows().filter(|row| row.faults > 0.0);
        plot::ranges(
            &directory.join("swap-faults.svg"),
            &Titles {
                title: "Time of a fault: p50 (dot) and p99 (bar)",
                x: "microseconds: less is better",
                y: "",
            },
            &swapping.map(range).collect::<Vec<_>>(),
        )
    }
}
