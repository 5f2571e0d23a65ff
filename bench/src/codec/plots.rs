//! The plots of `codec`: what a codec saves over how fast it is.

use std::path::Path;

use anyhow::Result;

use super::CodecReport;
use super::contender::{REFERENCE, Whose};
use crate::capture::Kind;
use crate::plot::{self, Plots, Point, Side, Titles};

impl Plots for CodecReport {
    fn plot(&self, directory: &Path) -> Result<()> {
        for kind in [Kind::Anonymous, Kind::File] {
            let points: Vec<Point> = self
                .rows
                .iter()
                .filter(|row| row.kind == kind)
                .map(|row| Point {
                    label: match row.whose {
                        Whose::Kernel => format!("{}*", row.codec),
                        _ => row.codec.clone(),
                    },
                    side: match row.whose {
                        Whose::Ours => Side::Ours,
                        _ => Side::Peer,
                    },
                    x: row.compress_to_lz4,
                    y: row.ratio,
                })
                .collect();
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
                    y: "compressed / original",
                },
                &points,
            )?;
        }
        Ok(())
    }
}
