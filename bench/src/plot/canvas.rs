//! What all plots have in common: names, titles, colours, and the picture they are drawn on.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// What is drawn below a name: a point, the points of a line, or the values of a row.
#[derive(Clone, Debug)]
pub(crate) struct Named<V> {
    pub(super) label: String,
    /// Whose it is has a colour.
    pub(super) ours: bool,
    pub(super) value: V,
}

impl<V> Named<V> {
    pub(crate) fn new(label: impl Into<String>, ours: bool, value: V) -> Self {
        Named {
            label: label.into(),
            ours,
            value,
        }
    }

    pub(super) fn colour(&self) -> RGBColor {
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

pub(super) const WIDTH: u32 = 760;
pub(super) const HEIGHT: u32 = 460;
pub(super) const FONT: &str = "sans-serif";
pub(super) const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
pub(super) const TITLE_SIZE: i32 = 17;
pub(super) const TEXT_SIZE: i32 = 13;

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b, X, Y> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Runs `draw` on an empty picture and writes it.
pub(super) fn picture(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Result<()> {
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
pub(super) fn chart<'a, 'b, X, Y>(
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
pub(super) fn line_at_one(low: f64, high: f64) -> PathElement<(f64, f64)> {
    PathElement::new([(1.0, low), (1.0, high)], INK.stroke_width(1))
}

/// The largest of some numbers, those that are none left out; 0 of nothing.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max)
}
