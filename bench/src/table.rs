//! Tables of text.

use std::io::{self, Write};

/// A table: its first column stands left, all others right.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// One with a title over its first column, and the headings of the others.
    pub(crate) fn new(title: impl Into<String>, headings: &[&str]) -> Self {
        let mut table = Table(Vec::new());
        table.row(title, headings.iter().copied());
        table
    }

    /// Adds a row: its name, and its cells.
    pub(crate) fn row<T: Into<String>>(
        &mut self,
        name: impl Into<String>,
        cells: impl IntoIterator<Item = T>,
    ) {
        let cells = cells.into_iter().map(Into::into);
        self.0
            .push([name.into()].into_iter().chain(cells).collect());
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let length = |cell: &String| cell.chars().count();
        let width = |at| {
            self.0
                .iter()
                .filter_map(|row| row.get(at))
                .map(length)
                .max()
        };
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).enumerate();
            let line: String = cells
                .map(|(at, (cell, &width))| match at {
                    0 => format!("{cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                })
                .collect();
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
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
        let mut table = Table::new("pool", &["p50 µs", "x"]);
        table.row("a long name", ["1", "12.5"]);
        table.row("short", ["22"]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
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
