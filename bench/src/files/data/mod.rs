//! Data sets: made once from what the machine has, and kept.

pub(super) mod cluster;
pub(super) mod corpus;
pub(super) mod crates;
pub(super) mod database;
pub(super) mod repository;
pub(super) mod tree;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::interrupt;

/// The directory in which data sets are kept.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

/// A data set.
#[derive(Clone, Debug)]
pub(crate) struct DataSet(PathBuf);

impl Store {
    /// Opens a store, which is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn open(directory: &Path) -> Result<Store> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Store(fs::canonicalize(directory)?))
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// The data set of this name. `make` makes it where it is not there yet: one that was not
    /// finished is made again.
    ///
    /// # Errors
    /// Those of `make`.
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
        remove(&unfinished.0)?;
        fs::create_dir_all(unfinished.source())
            .with_context(|| format!("cannot make {}", unfinished.0.display()))?;
        make(&unfinished)?;
        fs::rename(&unfinished.0, &path)
            .with_context(|| format!("cannot make {}", path.display()))?;
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

/// Removes a directory with all that is in it; one that is not there is no error.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a directory with its files, links, rights and owners, into one that is there.
///
/// # Errors
/// Those of the system calls, or after Ctrl-C.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let metadata = fs::metadata(from)?;
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, metadata.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        interrupt::check()?;
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        let doing = || format!("cannot copy {}", path.display());
        if kind.is_dir() {
            fs::create_dir(&copied).with_context(doing)?;
            copy(&path, &copied)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &copied).with_context(doing)?;
        } else if kind.is_file() {
            fs::copy(&path, &copied).with_context(doing)?;
            let metadata = entry.metadata()?;
            chown(&copied, Some(metadata.uid()), Some(metadata.gid())).with_context(doing)?;
        }
    }
    Ok(())
}

/// Bytes that a directory's files take in whole pages, as the page cache holds them.
///
/// # Errors
/// Where something cannot be looked at.
pub(crate) fn bytes_in(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            sum += bytes_in(&entry.path())?;
        } else {
            sum += metadata.len().next_multiple_of(4096);
        }
    }
    Ok(sum)
}

/// Calls `visit` with each regular file below a directory, in the order of names, until it says
/// that it has enough. What cannot be read is passed over.
pub(crate) fn walk(
    directory: &Path,
    visit: &mut dyn FnMut(&Path, u64) -> Result<bool>,
) -> Result<bool> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(true);
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        // Links are not followed.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let go_on = if metadata.is_dir() {
            walk(&entry.path(), visit)?
        } else if metadata.is_file() {
            visit(&entry.path(), metadata.len())?
        } else {
            true
        };
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The sources of the crates that Cargo has unpacked on this machine, each in a directory.
///
/// # Errors
/// Where there are none.
pub(crate) fn registry() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src");
    let mut found: Vec<PathBuf> = fs::read_dir(&sources)
        .with_context(|| format!("no crates in {}", sources.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
        .pop()
        .with_context(|| format!("no crates in {}", sources.display()))
}
