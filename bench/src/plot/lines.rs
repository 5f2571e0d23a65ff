//! Lines over a common axis.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::labels::Labels;
use super::{
    FONT, GRID, HEIGHT, INK, Side, TEXT_SIZE, TITLE_SIZE, Titles, WIDTH, largest, picture,
};

/// A line with a name.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) side: Side,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws lines, each with its name at its end.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn lines(path: &Path, titles: &Titles<'_>, lines: &[Line]) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let right = largest(all().map(|point| point.0)).max(1.0);
    let top = largest(all().map(|point| point.1)).max(0.1) * 1.1;
    picture(path, (WIDTH, HEIGHT), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(titles.title, (FONT, TITLE_SIZE).into_font().color(&INK))
            .margin(12)
            .margin_right(130)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, TEXT_SIZE).into_font().color(&INK))
            .x_desc(titles.x)
            .y_desc(titles.y)
            .draw()?;
        let mut labels = Labels::within(chart.backend_coord(&(right, 0.0)).0..WIDTH as i32);
        for line in lines {
            let colour = line.side.colour();
            chart.draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(2),
            ))?;
            if let Some(end) = line.points.last() {
                let at = chart.backend_coord(end);
                labels.write(canvas, &line.label, at, colour)?;
            }
        }
        Ok(())
    })
}
