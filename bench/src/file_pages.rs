//! Files whose pages are worth measuring.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use compcache_engine::Page;

use crate::capture::{self, Kind, Source};
use crate::directory::files_in;
use crate::programs;

/// Where each kind of file is looked for, and its names' end.
const PLACES: [(&str, &str, &str); 3] = [
    (
        "objects",
        "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu:/usr/lib64",
        ".so",
    ),
    ("C text", "/usr/include", ".h"),
    (
        "py text",
        "/usr/lib/python3:/usr/lib/python3.11:/usr/lib/python3.13",
        ".py",
    ),
];

/// No more than so many files of a kind are read, and none larger than this.
const MOST_FILES: usize = 600;
const MOST_BYTES: u64 = 32 << 20;

/// Captures up to `most` pages of each kind of file; kinds that are not there are left out.
pub(crate) fn sources(most: usize, quick: bool) -> Vec<Source> {
    let mut sources = Vec::new();
    for (name, places, end) in PLACES
        .into_iter()
        .take(if quick { 1 } else { PLACES.len() })
    {
        let is_of_kind = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(end) || name.contains(&format!("{end}."))
        };
        let found = files_in(places.split(':'), 0..=MOST_BYTES, is_of_kind);
        let mut found: Vec<PathBuf> = found.take(MOST_FILES).collect();
        found.sort();
        let pages = Some(capture::of_files(&found, most)).filter(|pages| !pages.is_empty());
        let pages = pages.with_context(|| format!("no such file in {places}"));
        sources.extend(Source::new(name, Kind::File, pages));
    }
    if !quick {
        sources.extend(Source::new("database", Kind::File, database(most)));
    }
    sources
}

/// The pages of a database in a file.
fn database(most: usize) -> Result<Vec<Page>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("items.sqlite");
    programs::fill_database(&path)?;
    Ok(capture::of_files(&[path], most))
}
