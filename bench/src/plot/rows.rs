//! Rows with names: bars from 0, and ranges on a logarithmic axis.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::labels::write;
use super::{
    Canvas, FONT, GRID, INK, Side, TEXT_SIZE, TITLE_SIZE, Titles, WIDTH, largest, picture,
};

/// A row with one value, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) side: Side,
    pub(crate) value: f64,
}

/// A row with two values, above 0.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) label: String,
    pub(crate) side: Side,
    pub(crate) values: [f64; 2],
}

/// Height of a row, in pixels.
const ROW: u32 = 24;
/// Room for the rows' names, in pixels.
const NAMES: u32 = 200;

fn size(rows: usize) -> (u32, u32) {
    (WIDTH, rows.max(1) as u32 * ROW + 100)
}

fn chart<'a, 'b>(canvas: &'a Canvas<'b>, title: &str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(canvas);
    chart
        .caption(title, (FONT, TITLE_SIZE).into_font().color(&INK))
        .margin(12)
        .margin_right(52)
        .x_label_area_size(44)
        .y_label_area_size(NAMES);
    chart
}

/// The number of a row and the colour of its side, for its name at the left of `at`.
fn name(canvas: &Canvas<'_>, label: &str, side: Side, at: (i32, i32)) -> super::Drawn {
    write(canvas, label, (at.0 - 8, at.1), HPos::Right, side.colour())
}

/// Draws a bar for each row, the first one at the top.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn bars(path: &Path, titles: &Titles<'_>, rows: &[Bar]) -> Result<()> {
    let right = largest(rows.iter().map(|row| row.value)).max(0.1) * 1.02;
    let bottom = rows.len().max(1) as f64;
    picture(path, size(rows.len()), |canvas| {
        let mut chart = chart(canvas, titles.title).build_cartesian_2d(0.0..right, bottom..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, TEXT_SIZE).into_font().color(&INK))
            .x_desc(titles.x)
            .draw()?;
        for (n, row) in rows.iter().enumerate() {
            let top = n as f64;
            name(
                canvas,
                &row.label,
                row.side,
                chart.backend_coord(&(0.0, top + 0.5)),
            )?;
            if row.value.is_finite() {
                let colour = row.side.colour();
                let corners = [(0.0, top + 0.15), (row.value, top + 0.85)];
                chart.draw_series([Rectangle::new(corners, colour.mix(0.8).filled())])?;
                let (x, y) = chart.backend_coord(&(row.value, top + 0.5));
                write(
                    canvas,
                    &format!("{:.2}", row.value),
                    (x + 5, y),
                    HPos::Left,
                    INK,
                )?;
            }
        }
        Ok(())
    })
}

/// Draws a line from the first value of each row to the second, on a logarithmic axis, the first
/// row at the top.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn ranges(path: &Path, titles: &Titles<'_>, rows: &[Range]) -> Result<()> {
    let values = || {
        let all = rows.iter().flat_map(|row| row.values);
        all.filter(|value| value.is_finite() && *value > 0.0)
    };
    let right = largest(values()).max(10.0) * 1.2;
    // A negative logarithm is none to start from.
    let left = values().fold(right, f64::min).clamp(0.1, right / 10.0) / 1.3;
    let bottom = rows.len().max(1) as f64;
    picture(path, size(rows.len()), |canvas| {
        let axis = (left..right).log_scale();
        let mut chart = chart(canvas, titles.title).build_cartesian_2d(axis, bottom..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, TEXT_SIZE).into_font().color(&INK))
            .x_desc(titles.x)
            .draw()?;
        for (n, row) in rows.iter().enumerate() {
            let middle = n as f64 + 0.5;
            name(
                canvas,
                &row.label,
                row.side,
                chart.backend_coord(&(left, middle)),
            )?;
            if row.values.iter().all(|value| *value >= left) {
                let colour = row.side.colour();
                let ends = row.values.map(|value| (value, middle));
                chart.draw_series([PathElement::new(ends, colour.stroke_width(2))])?;
                chart.draw_series([Circle::new(ends[0], 5, colour.filled())])?;
                chart.draw_series([Rectangle::new(
                    [
                        (ends[1].0 / 1.03, middle - 0.22),
                        (ends[1].0 * 1.03, middle + 0.22),
                    ],
                    colour.filled(),
                )])?;
            }
        }
        Ok(())
    })
}
