//! Rows with names: bars from 0, and ranges on a logarithmic axis.

use std::path::Path;

use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::labels::write;
use super::{
    Canvas, Chart, Drawn, INK, Named, Titles, WIDTH, chart, largest, line_at_one, picture,
};

type Row<const N: usize> = Named<[f64; N]>;

/// Height of a row, in pixels.
const ROW: u32 = 24;
/// Room for the rows' names, in pixels.
const NAMES: u32 = 200;

/// Draws rows with their names over an axis that begins at `left`, the first one at the top, each by
/// `draw`, which is told its middle line.
fn draw<X, const N: usize>(
    path: &Path,
    titles: &Titles<'_>,
    (axis, left): (X, f64),
    rows: &[Row<N>],
    draw: impl Fn(&Canvas<'_>, &mut Chart<'_, '_, X, std::ops::Range<f64>>, &Row<N>, f64) -> Drawn,
) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let count = rows.len().max(1);
    let size = (WIDTH, count as u32 * ROW + 100);
    picture(path, size, |canvas| {
        let mut chart = chart(canvas, titles, (axis, count as f64..0.0), (NAMES, 52))?;
        for (n, row) in rows.iter().enumerate() {
            let middle = n as f64 + 0.5;
            let (x, y) = chart.backend_coord(&(left, middle));
            write(canvas, &row.label, (x - 8, y), HPos::Right, row.colour())?;
            draw(canvas, &mut chart, row, middle)?;
        }
        Ok(())
    })
}

/// Draws a bar for each row, whose value is a ratio, and a line at the ratio 1.
pub(crate) fn bars(path: &Path, titles: &Titles<'_>, rows: &[Row<1>]) -> Result<()> {
    let right = largest(rows.iter().map(|row| row.value[0])).max(1.0) * 1.02;
    draw(
        path,
        titles,
        (0.0..right, 0.0),
        rows,
        |canvas, chart, row, middle| {
            let [value] = row.value;
            if value.is_finite() {
                let colour = row.colour().mix(0.8);
                let corners = [(0.0, middle - 0.35), (value, middle + 0.35)];
                chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                let (x, y) = chart.backend_coord(&(value, middle));
                write(canvas, &format!("{value:.2}"), (x + 5, y), HPos::Left, INK)?;
            }
            chart.draw_series([line_at_one(middle - 0.5, middle + 0.5)])?;
            Ok(())
        },
    )
}

/// Draws a line from the first value of each row to the second, both above 0, on a logarithmic axis.
pub(crate) fn ranges(path: &Path, titles: &Titles<'_>, rows: &[Row<2>]) -> Result<()> {
    let values = || {
        let all = rows.iter().flat_map(|row| row.value);
        all.filter(|value| value.is_finite() && *value > 0.0)
    };
    let right = largest(values()).max(10.0) * 1.2;
    // A negative logarithm is none to start from.
    let left = values().fold(right, f64::min).clamp(0.1, right / 10.0) / 1.3;
    let titles = Titles {
        x: &format!("{} (logarithmic)", titles.x),
        ..*titles
    };
    let axis = ((left..right).log_scale(), left);
    draw(path, &titles, axis, rows, |_, chart, row, middle| {
        if row.value.iter().all(|value| *value >= left) {
            let colour = row.colour();
            let [from, to] = row.value;
            let line = [(from, middle), (to, middle)];
            chart.draw_series([PathElement::new(line, colour.stroke_width(2))])?;
            chart.draw_series([Circle::new(line[0], 5, colour.filled())])?;
            let corners = [(to / 1.03, middle - 0.22), (to * 1.03, middle + 0.22)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        }
        Ok(())
    })
}
