//! Tables of text.

use std::io::{self, Write};

/// Writes a table: a title over the names of the rows, which stand left, and headings over their cells,
/// which stand right.
///
/// # Errors
/// Those of the output.
pub(crate) fn print<'a>(
    out: &mut dyn Write,
    title: &'a str,
    headings: &[&str],
    rows: impl IntoIterator<Item = (&'a str, Vec<String>)>,
) -> io::Result<()> {
    let headings = headings.iter().map(|&heading| heading.to_owned());
    let mut lines = vec![(title, headings.collect::<Vec<String>>())];
    lines.extend(rows);
    let length = |text: &str| text.chars().count();
    let names = lines
        .iter()
        .map(|(name, _)| length(name))
        .max()
        .unwrap_or(0);
    let mut widths = vec![
        0;
        lines
            .iter()
            .map(|(_, cells)| cells.len())
            .max()
            .unwrap_or(0)
    ];
    for (_, cells) in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = length(cell).max(*width);
        }
    }
    for (name, cells) in &lines {
        let cells = cells.iter().zip(&widths);
        let cells: String = cells
            .map(|(cell, &width)| format!("  {cell:>width$}"))
            .collect();
        writeln!(out, "{}", format!("{name:<names$}{cells}").trim_end())?;
    }
    Ok(())
}

/// A number with so many digits that three of them mean something; nothing for NaN.
pub(crate) fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".into(),
        v if v.abs() < 9.995 => format!("{v:.2}"),
        v if v.abs() < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_cells_right() {
        let rows = [("a long name", &["1", "12.5"][..]), ("short", &["22"])];
        let rows = rows.map(|(name, cells)| (name, cells.iter().map(|&c| c.into()).collect()));
        let mut out = Vec::new();
        print(&mut out, "pool", &["p50 µs", "x"], rows).unwrap();
        let wanted = "pool         p50 µs     x\n\
                      a long name       1  12.5\n\
                      short            22\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn three_digits_are_shown() {
        let shown = [1.234, 12.34, 123.4, f64::NAN].map(short);
        assert_eq!(shown, ["1.23", "12.3", "123", "-"]);
    }
}
