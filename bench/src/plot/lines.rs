//! Lines over a common axis.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::labels::Labels;
use super::{HEIGHT, Named, Titles, WIDTH, chart, largest, picture};

/// Draws lines, each with its name at its end.
pub(crate) fn lines(
    path: &Path,
    titles: &Titles<'_>,
    lines: &[Named<Vec<(f64, f64)>>],
) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.value);
    let right = largest(all().map(|point| point.0)).max(1.0);
    let top = largest(all().map(|point| point.1)).max(0.1) * 1.1;
    picture(path, (WIDTH, HEIGHT), |canvas| {
        let mut chart = chart(canvas, titles, (0.0..right, 0.0..top), (56, 130))?;
        let mut labels = Labels::within(chart.backend_coord(&(right, 0.0)).0..WIDTH as i32);
        for line in lines {
            let colour = line.colour();
            chart.draw_series(LineSeries::new(
                line.value.iter().copied(),
                colour.stroke_width(2),
            ))?;
            if let Some(end) = line.value.last() {
                let at = chart.backend_coord(end);
                labels.write(canvas, &line.label, at, colour)?;
            }
        }
        Ok(())
    })
}
