//! Tables of text in the manner of zramctl(8) and `swapon --show`. What is in a cell stays on its line.

use std::fmt::Write as _;

use compcache_host::printable::Printable;

/// A column: its heading, and whether it holds numbers, which stand to the right.
pub type Column<'a> = (&'a str, bool);

/// A table of so many columns, with a line of headings.
pub(crate) fn format<const N: usize>(
    columns: &[Column<'_>; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    format_any(columns, rows.into_iter().map(Vec::from))
}

/// The same with a number of columns that comes out later.
pub fn format_any(columns: &[Column<'_>], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned());
    let mut lines: Vec<Vec<String>> = vec![headings.collect()];
    let printable = |cell: String| Printable(cell).to_string();
    lines.extend(
        rows.into_iter()
            .map(|row| row.into_iter().map(printable).collect()),
    );
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for ((cell, &width), (_, right)) in line.iter().zip(&widths).zip(columns) {
            // Writing to a String can't fail.
            let _ = if *right {
                write!(text, "{cell:>width$}  ")
            } else {
                write!(text, "{cell:<width$}  ")
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_second_line_and_nothing_that_a_terminal_obeys() {
        let rows = [["/mnt/a\nroot\x1b[2J".to_owned(), "1".to_owned()]];
        let expected = "NAME                   SIZE\n/mnt/a\\x0aroot\\x1b[2J     1\n";
        assert_eq!(format(&[("NAME", false), ("SIZE", true)], rows), expected);
    }

    #[test]
    fn text_stands_left_and_numbers_right() {
        let rows = [["a µ", "1"], ["long", "23456"]].map(|row| row.map(str::to_owned));
        let expected = "NAME   SIZE\na µ       1\nlong  23456\n";
        assert_eq!(format(&[("NAME", false), ("SIZE", true)], rows), expected);
    }
}
