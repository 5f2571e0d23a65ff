//! The plots of `codec`: what a codec saves over how fast it is.

use std::path::Path;

use anyhow::Result;

use super::CodecReport;
use super::contender::Whose;
use super::library::REFERENCE;
use super::row::Row;
use crate::capture::Kind;
use crate::plot::{self, Plots, Point, Side, Titles};

impl Plots for CodecReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        for kind in [Kind::Anonymous, Kind::File] {
            let rows = self.rows.iter().filter(|row| row.kind == kind);
            let point = |row: &Row| Point {
                label: row.name(),
                side: Side::of(row.whose == Whose::Ours),
                x: row.values.compress_to_lz4,
                y: row.values.ratio,
            };
            let points: Vec<Point> = rows.map(point).collect();
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
