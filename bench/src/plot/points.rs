//! Points, and the line of those that no other beats.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::labels::Labels;
use super::{HEIGHT, Side, Titles, WIDTH, chart, largest, line_at_one, picture};

/// A point with a name. More to the right, which is a ratio, is better, and lower.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) side: Side,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// The line of those that no other beats.
const FRONT: RGBColor = RGBColor(0xb5, 0xc9, 0xa8);

/// Those that no other beats in both ways, from left to right.
fn unbeaten(points: &[Point]) -> Vec<&Point> {
    let beats = |a: &Point, b: &Point| a.x >= b.x && a.y <= b.y && (a.x > b.x || a.y < b.y);
    let mut found: Vec<&Point> = points
        .iter()
        .filter(|point| !points.iter().any(|other| beats(other, point)))
        .collect();
    found.sort_by(|a, b| a.x.total_cmp(&b.x));
    found
}

/// Draws points, those that were not measured left out, and a line at the ratio 1.
pub(crate) fn points(path: &Path, titles: &Titles<'_>, points: &[Point]) -> Result<()> {
    let points: Vec<Point> = points
        .iter()
        .filter(|point| point.x.is_finite() && point.y.is_finite())
        .cloned()
        .collect();
    let right = largest(points.iter().map(|point| point.x)).max(1.0) * 1.15;
    let top = largest(points.iter().map(|point| point.y)).max(0.1) * 1.1;
    picture(path, (WIDTH, HEIGHT), |canvas| {
        let mut chart = chart(canvas, titles, (0.0..right, 0.0..top), (56, 12))?;
        chart.draw_series([line_at_one(0.0, top)])?;
        let best = unbeaten(&points)
            .into_iter()
            .map(|point| (point.x, point.y));
        chart.draw_series(LineSeries::new(best, FRONT.stroke_width(2)))?;
        let mut labels = Labels::within(70..WIDTH as i32);
        for point in &points {
            let at = (point.x, point.y);
            chart.draw_series([Circle::new(at, 5, point.side.colour().filled())])?;
            labels.keep_free(chart.backend_coord(&at));
        }
        for point in &points {
            let at = chart.backend_coord(&(point.x, point.y));
            labels.write(canvas, &point.label, at, point.side.colour())?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::point;

    #[test]
    fn what_is_slower_and_larger_is_beaten() {
        let all = [
            point("fast", 2.0, 0.4),
            point("small", 0.3, 0.2),
            point("both worse", 0.2, 0.3),
            point("between", 1.0, 0.3),
            point("as fast, larger", 2.0, 0.5),
        ];
        let names: Vec<&str> = unbeaten(&all).iter().map(|p| p.label.as_str()).collect();
        assert_eq!(names, ["small", "between", "fast"]);
    }
}
