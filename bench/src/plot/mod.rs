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

pub(crate) use lines::{Line, lines};
pub(crate) use points::{Point, points};
pub(crate) use rows::{Row, bars, ranges};

pub(crate) trait Plots {
    /// Draws it into files of fixed names in a directory that is there.
    fn plot(&self, directory: &Path) -> Result<()>;
}

/// Whose something is; it has a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Peer,
}

impl Side {
    /// The side of what is ours, or not.
    pub(crate) fn of(ours: bool) -> Self {
        if ours { Side::Ours } else { Side::Peer }
    }

    fn colour(self) -> RGBColor {
        match self {
            Side::Ours => RGBColor(0xd9, 0x48, 0x01),
            Side::Peer => RGBColor(0x4d, 0x6a, 0x8c),
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

    /// Whether tags are closed in the order in which they were opened, and nothing stands
    /// outside that XML forbids.
    fn check_svg(text: &str, wanted: &[&str]) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let end = rest[start..].find('>').expect("a tag ends") + start;
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') && !tag.starts_with('?') {
                open.push(tag.split_whitespace().next().unwrap());
            }
        }
        assert!(open.is_empty(), "{open:?} are not closed");
        assert!(text.starts_with("<svg "), "{}", &text[..40]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted} is missing: {text}");
        }
    }

    pub(super) fn point(label: &str, x: f64, y: f64) -> Point {
        Point {
            label: label.into(),
            side: Side::Ours,
            x,
            y,
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
            point("one", 1.0, 0.3),
            point("near one", 1.01, 0.301),
            point("two", 2.0, 0.5),
            point("never measured", f64::NAN, 0.5),
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
        let line = |label: &str, height: f64| Line {
            label: label.into(),
            side: Side::Peer,
            points: (0..5).map(|x| (f64::from(x), height)).collect(),
        };
        let svg = drawn(|path| lines(path, &TITLES, &[line("low", 1.0), line("high", 9.0)]));
        check_svg(&svg, &["low", "high", "<polyline"]);
    }

    fn row<const N: usize>(label: &str, values: [f64; N]) -> Row<N> {
        Row {
            label: label.into(),
            side: Side::Ours,
            values,
        }
    }

    #[test]
    fn bars_and_ranges_are_drawn_with_their_names() {
        let all = [row("short", [0.5]), row("none", [f64::NAN])];
        let svg = drawn(|path| bars(path, &ROWS, &all));
        check_svg(&svg, &["short", "none", "0.50"]);
        let all = [row("wide", [5.0, 500.0]), row("none", [f64::NAN; 2])];
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
                drawn(|path| bars(path, &ROWS, &[row("", [value])])),
                drawn(|path| points(path, &TITLES, &[point("", value, 0.5)])),
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
