//! Programs of a few lines: each fills its memory, says `ready`, and waits for its input to end.
//! Their random numbers are the same each time. And large files, for compilers.

/// Python: records as a web service would hold them, lists of lists, arrays of numbers.
pub(super) const PYTHON: &str = include_str!("scripts/records.py");

/// SQLite, in Python: a table with an index, in memory or in the file that is named.
pub(super) const SQLITE: &str = include_str!("scripts/database.py");

/// Perl: words counted into a hash of arrays.
pub(super) const PERL: &str = include_str!("scripts/words.pl");

/// JavaScript: objects in a map, strings, typed arrays.
pub(super) const NODE: &str = include_str!("scripts/orders.js");

/// Java: records in a map and in lists.
pub(super) const JAVA: &str = include_str!("scripts/Filled.java");

pub(super) fn large_c() -> String {
    repeated(include_str!("scripts/node.c.in"), 6000)
}

/// A large C++ file: templates, and classes that use them.
pub(super) fn large_cpp() -> String {
    include_str!("scripts/templates.cc").to_owned()
        + &repeated(include_str!("scripts/node.cc.in"), 4000)
}

/// A large Rust file: types, implementations of traits, generic functions.
pub(super) fn large_rust() -> String {
    repeated(include_str!("scripts/node.rs.in"), 3000)
}

/// A text so many times, with each time's number for `@I@`, and a number from 1 to 9 for `@N@`.
fn repeated(text: &str, times: usize) -> String {
    let one = |i: usize| {
        let n = i % 9 + 1;
        text.replace("@I@", &i.to_string())
            .replace("@N@", &n.to_string())
    };
    (0..times).map(one).collect()
}
