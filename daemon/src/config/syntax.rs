//! Where something stands in a file, and what is wrong with a text that is not TOML.

use std::ops::Range;

use super::section::Wrong;

/// As much of a line as a message shows.
const SHOWN: usize = 60;

/// The number of the line with this offset, counted from 1.
pub(super) fn line_number(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The text of bytes that have to be UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, (usize, String)> {
    std::str::from_utf8(bytes).map_err(|e| {
        let (before, after) = bytes.split_at(e.valid_up_to());
        let before = String::from_utf8_lossy(before);
        let line = line_number(&before, before.len());
        let mut message = format!(
            "the byte {:#04X} is not UTF-8: save the file as UTF-8 text",
            after.first().copied().unwrap_or_default()
        );
        if let (Some(key), _) = key_and_rest(line_at(&before, line)) {
            message = format!("key `{key}`: {message}");
        }
        (line, message)
    })
}

/// What is wrong where the parser of TOML gave up, with this message.
pub(super) fn not_toml(text: &str, span: Option<Range<usize>>, message: &str) -> Wrong {
    let at = span.map_or(0, |span| span.start);
    let line = line_at(text, line_number(text, at));
    let message = match key_and_rest(line) {
        (Some(key), _) if message.starts_with("duplicate key") => {
            format!("key `{key}` is set a second time: set it once")
        }
        (Some(key), Some("")) => {
            format!("key `{key}` has no value: write `{key} = VALUE`, a string in double quotes")
        }
        (Some(key), Some(value)) => format!(
            "key `{key}`: `{}` is not a value of TOML: write a string in double quotes, a number, \
             true or false",
            shown(value)
        ),
        _ => format!(
            "`{}` is not TOML: write `KEY = VALUE`, [TABLE] or [[TABLE]]",
            shown(line)
        ),
    };
    Wrong { at, message }
}

fn line_at(text: &str, number: usize) -> &str {
    text.lines().nth(number - 1).unwrap_or_default().trim()
}

/// The key or table that is set in a line, and for a key what stands behind the `=`, without a comment
/// that stands there alone.
fn key_and_rest(line: &str) -> (Option<&str>, Option<&str>) {
    let (key, rest) = match line.strip_prefix('[') {
        Some(header) => (header.trim_start_matches('[').split(']').next(), None),
        None => match line.split_once('=') {
            Some((key, rest)) => (Some(key), Some(rest.trim())),
            None => (None, None),
        },
    };
    let key = key.map(str::trim);
    (
        key.filter(|key| !key.is_empty() && !key.starts_with('#')),
        rest.map(|rest| if rest.starts_with('#') { "" } else { rest }),
    )
}

/// As much of a text as fits into a message, on one line.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    // As in Display of a string, whose quotes need no escape between backquotes.
    shown.replace("\\\"", "\"").replace("\\'", "'")
}
