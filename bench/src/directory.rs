//! Files below a directory.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;
use walkdir::WalkDir;

use crate::process;

/// The regular files below a directory, in the order of names, and the bytes of each. Links are not
/// followed; what cannot be read is ignored.
pub(crate) fn files_below(directory: &Path) -> impl Iterator<Item = (PathBuf, u64)> + use<> {
    let entries = WalkDir::new(directory).sort_by_file_name().into_iter();
    entries.flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok().filter(|of| of.is_file())?;
        Some((entry.into_path(), metadata.len()))
    })
}

/// Those below some directories, of a size in this range, that are wanted.
pub(crate) fn files_in<P: AsRef<Path>>(
    places: impl IntoIterator<Item = P>,
    bytes: RangeInclusive<u64>,
    is_wanted: impl Fn(&Path) -> bool,
) -> impl Iterator<Item = PathBuf> {
    let files = places
        .into_iter()
        .flat_map(|place| files_below(place.as_ref()));
    let files = files.filter(move |(path, length)| bytes.contains(length) && is_wanted(path));
    files.map(|(path, _)| path)
}

/// Bytes that a directory's files take in whole pages, as the page cache holds them.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    let files = files_below(directory);
    files.map(|(_, bytes)| bytes.next_multiple_of(4096)).sum()
}

/// Removes a directory with all that is in it; one that is not there is no error.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

/// Copies a directory with its files, links, rights and owners, into one that is there.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command
        .args(["-dR", "--preserve=mode,ownership"])
        .arg(from.join("."))
        .arg(to);
    process::run(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_files_and_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("in")).unwrap();
        fs::write(from.path().join("in/file"), "text").unwrap();
        fs::write(from.path().join("a"), vec![1; 4097]).unwrap();
        std::os::unix::fs::symlink("in/file", from.path().join("link")).unwrap();
        copy(from.path(), to.path()).unwrap();
        let text = fs::read_to_string(to.path().join("link")).unwrap();
        assert_eq!(text, "text");
        let names: Vec<_> = files_below(to.path())
            .map(|(path, bytes)| (path.strip_prefix(to.path()).unwrap().to_owned(), bytes))
            .collect();
        assert_eq!(names, [("a".into(), 4097), ("in/file".into(), 4)]);
        assert_eq!(bytes_in(to.path()), 3 * 4096);
        remove(&to.path().join("in")).unwrap();
        remove(&to.path().join("in")).unwrap();
        assert_eq!(files_below(to.path()).count(), 1);
    }
}
