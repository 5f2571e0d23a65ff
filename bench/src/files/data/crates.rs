//! A program of some crates, to be built without a network.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;

use super::{DataSet, Store, registry};
use crate::directory::copy;

/// Crates that need no other ones, and no program before they are built.
const CRATES: [&str; 8] = [
    "itoa",
    "strsim",
    "cfg-if",
    "smallvec",
    "memchr",
    "regex-syntax",
    "aho-corasick",
    "hashbrown",
];

/// The smallest of them, for a quick run.
const SMALL: usize = 3;

/// A program that uses those crates of Cargo's registry that are there, 3 at least; `small` ones
/// only if that is asked for.
pub(crate) fn get(store: &Store, small: bool) -> Result<DataSet> {
    let (name, crates) = if small {
        ("crates-small", &CRATES[..SMALL])
    } else {
        ("crates", &CRATES[..])
    };
    store.get(name, |set| {
        let registry = registry()?;
        let mut dependencies = String::new();
        let mut found = Vec::new();
        for &name in crates {
            let Some(path) = newest(&registry, name)? else {
                continue;
            };
            let to = set.source().join(name);
            fs::create_dir(&to)?;
            copy(&path, &to)?;
            dependencies +=
                &format!("{name} = {{ path = \"{name}\", default-features = false }}\n");
            found.push(name);
        }
        ensure!(
            found.len() >= SMALL,
            "too few of the crates {} are there",
            crates.join(", ")
        );
        // Members of a workspace would need all that their tests need.
        let manifest = format!(
            "[package]\nname = \"built\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n\
             [dependencies]\n{dependencies}\n[workspace]\nexclude = {found:?}\n"
        );
        fs::write(set.source().join("Cargo.toml"), manifest)?;
        fs::create_dir(set.source().join("src"))?;
        let program = "fn main() {\n    println!(\"built\");\n}\n";
        Ok(fs::write(set.source().join("src/main.rs"), program)?)
    })
}

/// The directory `NAME-VERSION` that comes last.
fn newest(registry: &Path, name: &str) -> Result<Option<PathBuf>> {
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let paths = fs::read_dir(registry)?.flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let directory = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = directory.strip_prefix(name);
        rest.and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(is_version)
    };
    Ok(paths.filter(is_one).max())
}
