//! Points, and the line of those that no other beats.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::labels::Labels;
use super::{HEIGHT, Named, Titles, WIDTH, chart, largest, line_at_one, picture};

/// A point with a name. More to the right, which is a ratio, is better, and lower.
type Point = Named<(f64, f64)>;

/// The line of those that no other beats.
const FRONT: RGBColor = RGBColor(0xb5, 0xc9, 0xa8);

/// Those that no other beats in both ways, from left to right.
fn unbeaten(points: &[Point]) -> Vec<&Point> {
    let beats = |a: &Point, b: &Point| {
        let ((ax, ay), (bx, by)) = (a.value, b.value);
        ax >= bx && ay <= by && (ax > bx || ay < by)
    };
    let mut found: Vec<&Point> = points
        .iter()
        .filter(|point| !points.iter().any(|other| beats(other, point)))
        .collect();
    found.sort_by(|a, b| a.value.0.total_cmp(&b.value.0));
    found
}

/// Draws points, those that were not measured left out, and a line at the ratio 1.
pub(crate) fn points(path: &Path, titles: &Titles<'_>, points: &[Point]) -> Result<()> {
    let points: Vec<Point> = points
        .iter()
        .filter(|point| point.value.0.is_finite() && point.value.1.is_finite())
        .cloned()
        .collect();
    let right = largest(points.iter().map(|point| point.value.0)).max(1.0) * 1.15;
    let top = largest(points.iter().map(|point| point.value.1)).max(0.1) * 1.1;
    picture(path, (WIDTH, HEIGHT), |canvas| {
        let mut chart = chart(canvas, titles, (0.0..right, 0.0..top), (56, 12))?;
        chart.draw_series([line_at_one(0.0, top)])?;
        let best = unbeaten(&points).into_iter().map(|point| point.value);
        chart.draw_series(LineSeries::new(best, FRONT.stroke_width(2)))?;
        let mut labels = Labels::within(70..WIDTH as i32);
        for point in &points {
            chart.draw_series([Circle::new(point.value, 5, point.colour().filled())])?;
            labels.keep_free(chart.backend_coord(&point.value));
        }
        for point in &points {
            let at = chart.backend_coord(&point.value);
            labels.write(canvas, &point.label, at, point.colour())?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slower_and_larger_is_beaten() {
        let all = [
            Named::new("fast", true, (2.0, 0.4)),
            Named::new("small", true, (0.3, 0.2)),
            Named::new("both worse", true, (0.2, 0.3)),
            Named::new("between", true, (1.0, 0.3)),
            Named::new("as fast, larger", true, (2.0, 0.5)),
        ];
        let names: Vec<&str> = unbeaten(&all).iter().map(|p| p.label.as_str()).collect();
        assert_eq!(names, ["small", "between", "fast"]);
    }
}
