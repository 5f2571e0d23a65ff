//! The plot of `pool`: overhead over time.

use std::path::Path;

use anyhow::Result;
use compcache_engine::CodecSpec;

use super::PoolReport;
use super::holder::Kind;
use crate::plot::{self, Line, Plots, Side, Titles};

impl Plots for PoolReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        let default = Kind::Ours(CodecSpec::default()).name();
        let lines: Vec<Line> = self
            .rows
            .iter()
            .filter(|row| !row.ours || row.pool == default)
            .map(|row| Line {
                label: row.pool.clone(),
                side: if row.ours { Side::Ours } else { Side::Peer },
                points: row
                    .over_time
                    .iter()
                    .map(|&(stores, overhead)| (stores, overhead * 100.0))
                    .collect(),
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
