//! Plots in SVG.

mod labels;
mod lines;
mod points;
mod rows;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

pub(crate) use lines::lines;
pub(crate) use points::points;
pub(crate) use rows::{bars, ranges};

/// What is drawn below a name: a point, the points of a line, or the values of a row.
#[derive(Clone, Debug)]
pub(crate) struct Named<V> {
    label: String,
    /// Whose it is has a colour.
    ours: bool,
    value: V,
}

impl<V> Named<V> {
    pub(crate) fn new(label: impl Into<String>, ours: bool, value: V) -> Self {
        Named {
            label: label.into(),
            ours,
            value,
        }
    }

    fn colour(&self) -> RGBColor {
        if self.ours {
            RGBColor(0xd9, 0x48, 0x01)
        } else {
            RGBColor(0x4d, 0x6a, 0x8c)
        }
    }
}

/// What a plot says around its picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Titles<'a> {
    pub(crate) title: &'a str,
    /// Below the horizontal axis.
    pub(crate) x: &'a str,
    /// Beside the vertical axis; empty if there is none.
    pub(crate) y: &'a str,
}

const WIDTH: u32 = 760;
const HEIGHT: u32 = 460;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const TITLE_SIZE: i32 = 17;
const TEXT_SIZE: i32 = 13;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b, X, Y> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Runs `draw` on an empty picture and writes it.
fn picture(path: &Path, size: (u32, u32), draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> Result<()> {
    let mut svg = String::new();
    let drawn = {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let filled: Drawn = canvas.fill(&WHITE).map_err(Into::into);
        filled
            .and_then(|()| draw(&canvas))
            .and_then(|()| Ok(canvas.present()?))
    };
    drawn.map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
    std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
}

/// A chart with a grid and titles, and so many pixels of room at its left and right. Without a title
/// of its vertical axis it has none.
fn chart<'a, 'b, X, Y>(
    canvas: &'a Canvas<'b>,
    titles: &Titles<'_>,
    axes: (X, Y),
    (left, right): (u32, u32),
) -> Result<Chart<'a, 'b, X, Y>, Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(canvas)
        .caption(titles.title, (FONT, TITLE_SIZE).into_font().color(&INK))
        .margin(12)
        .margin_right(right)
        .x_label_area_size(44)
        .y_label_area_size(left)
        .build_cartesian_2d(axes.0, axes.1)?;
    let mut mesh = chart.configure_mesh();
    if titles.y.is_empty() {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, TEXT_SIZE).into_font().color(&INK))
        .x_desc(titles.x)
        .y_desc(titles.y)
        .draw()?;
    Ok(chart)
}

/// A vertical line through 1.0 of an axis of ratios, from `low` to `high` of the other one.
fn line_at_one(low: f64, high: f64) -> PathElement<(f64, f64)> {
    PathElement::new([(1.0, low), (1.0, high)], INK.stroke_width(1))
}

/// The largest of some numbers, those that are none left out; 0 of nothing.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: Titles<'_> = Titles {
        title: "a <title> & more",
        x: "x",
        y: "y",
    };

    /// Of charts without a vertical axis.
    const ROWS: Titles<'_> = Titles { y: "", ..TITLES };

    /// Whether all of it can be drawn, and has these texts in it.
    fn check_svg(text: &str, wanted: &[&str]) {
        assert!(text.starts_with("<svg "), "{}", &text[..40]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted} is missing: {text}");
        }
    }

    fn drawn(draw: impl FnOnce(&Path) -> Result<()>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plot.svg");
        draw(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn points_are_drawn_with_their_names() {
        let all = [
            Named::new("one", true, (1.0, 0.3)),
            Named::new("near one", true, (1.01, 0.301)),
            Named::new("two", true, (2.0, 0.5)),
            Named::new("never measured", true, (f64::NAN, 0.5)),
        ];
        let svg = drawn(|path| points(path, &TITLES, &all));
        check_svg(
            &svg,
            &["one", "near one", "two", "&lt;title&gt; &amp; more"],
        );
        assert_eq!(svg.matches("<circle").count(), 3);
    }

    #[test]
    fn lines_are_drawn_with_their_names() {
        let line = |label: &str, height: f64| {
            let points = (0..5).map(|x| (f64::from(x), height)).collect();
            Named::new(label, false, points)
        };
        let svg = drawn(|path| lines(path, &TITLES, &[line("low", 1.0), line("high", 9.0)]));
        check_svg(&svg, &["low", "high", "<polyline"]);
    }

    #[test]
    fn bars_and_ranges_are_drawn_with_their_names() {
        let all = [
            Named::new("short", true, [0.5]),
            Named::new("none", true, [f64::NAN]),
        ];
        let svg = drawn(|path| bars(path, &ROWS, &all));
        check_svg(&svg, &["short", "none", "0.50"]);
        let all = [
            Named::new("wide", true, [5.0, 500.0]),
            Named::new("none", true, [f64::NAN; 2]),
        ];
        let svg = drawn(|path| ranges(path, &ROWS, &all));
        check_svg(&svg, &["wide", "none", "x (logarithmic)"]);
    }

    /// Whether a line of an SVG is vertical, and neither an axis nor a mark on one.
    fn is_vertical(line: &str) -> bool {
        let points = line.split("points=\"").nth(1).unwrap();
        let numbers = points.split('"').next().unwrap().split([' ', ',']);
        let numbers: Vec<i32> = numbers.filter_map(|n| n.parse().ok()).collect();
        let [x, top, to, bottom] = numbers[..] else {
            return false;
        };
        x == to && (300..WIDTH as i32).contains(&x) && (bottom - top).abs() > 10
    }

    #[test]
    fn ratios_have_a_line_at_one() {
        // Also if all values are below it.
        for value in [0.5, 2.0] {
            for svg in [
                drawn(|path| bars(path, &ROWS, &[Named::new("", true, [value])])),
                drawn(|path| points(path, &TITLES, &[Named::new("", true, (value, 0.5))])),
            ] {
                assert!(svg.split("<polyline").skip(1).any(is_vertical), "{svg}");
            }
        }
    }

    #[test]
    fn nothing_can_be_drawn() {
        check_svg(&drawn(|path| points(path, &TITLES, &[])), &[]);
        check_svg(&drawn(|path| lines(path, &TITLES, &[])), &[]);
        check_svg(&drawn(|path| bars(path, &TITLES, &[])), &[]);
        check_svg(&drawn(|path| ranges(path, &TITLES, &[])), &[]);
    }
}
