//! The units of systemd that are shipped, in `packaging/`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that is shipped.
#[must_use]
pub fn packaged(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging")).join(name)
}

/// What a unit file sets, in its order.
#[derive(Clone, Debug)]
pub struct Unit(Vec<(String, String)>);

impl Unit {
    /// One that is shipped.
    ///
    /// # Panics
    /// If it can't be read, or has a line that is neither a comment, a section nor a setting. Continued
    /// lines are not understood.
    #[must_use]
    pub fn shipped(name: &str) -> Unit {
        let text = fs::read_to_string(packaged(name)).expect(name);
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '[']));
        let setting = |line: &str| {
            assert!(!line.ends_with('\\'), "{line} is continued");
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            (key.to_owned(), value.to_owned())
        };
        Unit(lines.map(setting).collect())
    }

    /// The values that a key was given, which systemd adds up for lists.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The words of all values of a key.
    pub fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.values(key).flat_map(str::split_whitespace)
    }

    /// The keys that are set.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}
