//! Tables of text.

use std::io::{self, Write};

use compcache::columns::{self, Column};

/// The columns of a table, and what its rows are called.
pub(crate) struct Table<'a, R> {
    name: Cell<'a, R>,
    columns: Vec<(&'a str, Cell<'a, R>)>,
}

type Cell<'a, R> = Box<dyn Fn(&R) -> String + 'a>;

impl<'a, R> Table<'a, R> {
    pub(crate) fn new(name: impl Fn(&R) -> String + 'a) -> Self {
        Table {
            name: Box::new(name),
            columns: Vec::new(),
        }
    }

    pub(crate) fn column(mut self, heading: &'a str, cell: impl Fn(&R) -> String + 'a) -> Self {
        self.columns.push((heading, Box::new(cell)));
        self
    }

    /// Writes it: a title over the names of the rows, which stand left, and headings over their cells, which
    /// stand right.
    pub(crate) fn print<'r>(
        &self,
        out: &mut dyn Write,
        title: &str,
        rows: impl IntoIterator<Item = &'r R>,
    ) -> io::Result<()>
    where
        R: 'r,
    {
        let headings = self.columns.iter().map(|(heading, _)| (*heading, true));
        let columns: Vec<Column<'_>> = [(title, false)].into_iter().chain(headings).collect();
        let cells = |row| {
            let cells = self.columns.iter().map(|(_, cell)| cell(row));
            [(self.name)(row)].into_iter().chain(cells).collect()
        };
        let rows = rows.into_iter().map(cells);
        out.write_all(columns::format_any(&columns, rows).as_bytes())
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
        let rows = [("a long name", ["1", "12.5"]), ("short", ["22", ""])];
        let mut out = Vec::new();
        Table::new(|(name, _): &(&str, [&str; 2])| (*name).to_owned())
            .column("p50 µs", |(_, cells)| cells[0].to_owned())
            .column("x", |(_, cells)| cells[1].to_owned())
            .print(&mut out, "pool", &rows)
            .unwrap();
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
