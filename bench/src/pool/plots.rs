//! The plot of `pool`: overhead over time.

use std::path::Path;

use anyhow::Result;
use compcache_engine::CodecSpec;

use super::PoolReport;
use super::backend::Contender;
use crate::plot::{self, Line, Plots, Side, Titles};

impl Plots for PoolReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        let default = Contender::Ours(CodecSpec::default()).to_string();
        let percent = |&(stores, overhead): &(f64, f64)| (stores, overhead * 100.0);
        let rows = self.rows.iter();
        let lines: Vec<Line> = rows
            .filter(|row| !row.ours || row.pool == default)
            .map(|row| Line {
                label: row.pool.clone(),
                side: Side::of(row.ours),
                points: row.over_time.iter().map(percent).collect(),
            })
            .collect();
        let titles = Titles {
            title: "Pool beyond the compressed bytes: overwrites, then processes that come and go",
            x: "times that every page was written",
            y: "overhead, %",
        };
        plot::lines(&directory.join("pool-overhead.svg"), &titles, &lines)
    }
}
