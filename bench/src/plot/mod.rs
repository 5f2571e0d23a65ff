//! Plots in SVG.

mod canvas;
mod labels;
mod lines;
mod points;
mod rows;

pub(crate) use canvas::{Named, Titles};
pub(crate) use lines::lines;
pub(crate) use points::points;
pub(crate) use rows::{bars, ranges};

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
