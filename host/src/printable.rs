//! Text from outside, such as a path, on its way to a terminal or a log.
//!
//! The name of a file may have any byte but `/` and 0: a newline in it would look like a line of ours, and
//! an escape sequence would be obeyed by the terminal.

use std::fmt::{self, Display, Write};
use std::path::Path;

/// Shows what it holds with control characters as `\xHH`, byte by byte, as findmnt(8) does. All else
/// stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// A path for people: as [`Path::display`], printable.
#[must_use]
pub fn path(path: &Path) -> Printable<std::path::Display<'_>> {
    Printable(path.display())
}

/// Whether a character is shown as it is. Line and paragraph separators end lines, too.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let width = from.chars().next().map_or(1, char::len_utf8);
            let (control, after) = from.split_at(width);
            for byte in control.bytes() {
                write!(self.0, "\\x{byte:02x}")?;
            }
            rest = after;
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_nothing_else() {
        for (text, shown) in [
            ("/mnt/data", "/mnt/data"),
            ("/mnt/ä b\\c", "/mnt/ä b\\c"),
            ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
            ("\x1b[2J\x7f", "\\x1b[2J\\x7f"),
            ("\u{9b}1m\u{2028}", "\\xc2\\x9b1m\\xe2\\x80\\xa8"),
            ("", ""),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
            assert_eq!(path(Path::new(text)).to_string(), shown);
        }
    }
}
