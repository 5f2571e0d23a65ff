//! Data sets: made once from what the machine has, and kept.

pub(super) mod cluster;
pub(crate) mod corpus;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;

use crate::directory;

/// The directory in which data sets are kept.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

#[derive(Clone, Debug)]
pub(crate) struct DataSet(PathBuf);

impl Store {
    /// Opens a store, which is created if missing.
    pub(crate) fn open(directory: &Path) -> Result<Store> {
        fs::create_dir_all(directory)?;
        Ok(Store(fs::canonicalize(directory)?))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// The data set of this name. `make` makes it if it is not there yet: one that was not
    /// finished is made again.
    pub(crate) fn get(
        &self,
        name: &str,
        make: impl FnOnce(&DataSet) -> Result<()>,
    ) -> Result<DataSet> {
        let path = self.0.join(name);
        if path.exists() {
            return Ok(DataSet(path));
        }
        eprintln!("making the data set {name}");
        let unfinished = DataSet(self.0.join(format!("{name}.unfinished")));
        directory::remove(&unfinished.0)?;
        fs::create_dir_all(unfinished.source())?;
        make(&unfinished)?;
        fs::rename(&unfinished.0, &path)?;
        Ok(DataSet(path))
    }
}

impl DataSet {
    /// The directory that is read, or mounted.
    pub(crate) fn source(&self) -> PathBuf {
        self.0.join("source")
    }

    /// A file of the data set beside that directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// The sources of the crates that Cargo has unpacked on this machine, each in a directory.
pub(crate) fn registry() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src");
    let entries = fs::read_dir(&sources)?.flatten();
    let newest = entries.map(|entry| entry.path()).max();
    newest.with_context(|| format!("no crates in {}", sources.display()))
}
