//! All that can be seen of a directory tree, to compare it with another.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What is compared besides names, kinds, contents, modes and owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: for programs that make files at their own time.
    Contents,
    /// Times of modification to the nanosecond, numbers of links, and extended attributes.
    Everything,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    content: Vec<u8>,
    modified: (i64, i64),
    links: u64,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tree.
#[derive(Debug)]
pub struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    /// Reads the tree at and under `directory`, without the entries whose path from there
    /// `leave_out` wants to leave out.
    ///
    /// # Panics
    /// If something can't be read.
    #[must_use]
    pub fn read(directory: &Path, detail: Detail, leave_out: impl Fn(&Path) -> bool) -> Tree {
        let mut entries = BTreeMap::new();
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            if leave_out(&path) {
                continue;
            }
            let whole = directory.join(&path);
            let entry = Entry::read(&whole, detail)
                .unwrap_or_else(|error| panic!("{}: {error}", whole.display()));
            if entry.mode & libc::S_IFMT == libc::S_IFDIR {
                let names = fs::read_dir(&whole).expect("a directory");
                left.extend(names.map(|name| path.join(name.expect("its entries").file_name())));
            }
            entries.insert(path, entry);
        }
        Tree(entries)
    }

    /// Number of entries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Asserts that another tree is the same.
    ///
    /// # Panics
    /// If it is not, with the first differences.
    #[track_caller]
    pub fn assert_same(&self, other: &Tree, what: &str) {
        let mut differences = Vec::new();
        for (path, entry) in &self.0 {
            match other.0.get(path) {
                None => differences.push(format!("{} is missing", path.display())),
                Some(found) if found != entry => {
                    differences.push(format!("{}: {}", path.display(), entry.difference(found)));
                }
                Some(_) => {}
            }
        }
        for path in other.0.keys().filter(|path| !self.0.contains_key(*path)) {
            differences.push(format!("{} should not be there", path.display()));
        }
        let count = differences.len();
        differences.truncate(20);
        assert!(
            count == 0,
            "{what}: {count} differences:\n{}",
            differences.join("\n")
        );
    }
}

impl Entry {
    fn read(path: &Path, detail: Detail) -> io::Result<Entry> {
        let metadata = fs::symlink_metadata(path)?;
        let everything = detail == Detail::Everything;
        Ok(Entry {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            device: metadata.rdev(),
            content: content(path, &metadata)?,
            modified: if everything {
                (metadata.mtime(), metadata.mtime_nsec())
            } else {
                (0, 0)
            },
            links: if everything { metadata.nlink() } else { 0 },
            attributes: if everything {
                attributes(path)?
            } else {
                BTreeMap::new()
            },
        })
    }

    fn difference(&self, other: &Entry) -> String {
        if self.content != other.content {
            return "other content".to_owned();
        }
        format!("{other:?} instead of {self:?}")
    }
}

/// A link's target, or a file's size and a hash of its bytes.
fn content(path: &Path, metadata: &Metadata) -> io::Result<Vec<u8>> {
    if metadata.is_symlink() {
        return Ok(fs::read_link(path)?.into_os_string().as_bytes().to_vec());
    }
    let kind = metadata.file_type();
    if metadata.is_dir() || kind.is_fifo() || kind.is_socket() || metadata.rdev() != 0 {
        return Ok(Vec::new());
    }
    let bytes = fs::read(path)?;
    assert_eq!(bytes.len() as u64, metadata.len(), "{}", path.display());
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok([metadata.len().to_le_bytes(), hasher.finish().to_le_bytes()].concat())
}

fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice())?;
    let mut found = BTreeMap::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_seen() {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let paths = directories
            .each_ref()
            .map(|directory| directory.path().join("file"));
        for path in &paths {
            fs::write(path, "content").unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH;
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
        let read = |number: usize| {
            let mut tree = Tree::read(directories[number].path(), Detail::Everything, |_| false);
            // The directory's own time is that of its making.
            tree.0.remove(Path::new(""));
            tree
        };
        let differ = || read(0).0 != read(1).0;
        read(0).assert_same(&read(1), "the same files");
        fs::write(&paths[1], "Content").unwrap();
        assert!(differ());
        fs::copy(&paths[0], &paths[1]).unwrap();
        assert!(differ(), "another time");
        let modified = fs::metadata(&paths[0]).unwrap().modified().unwrap();
        fs::File::open(&paths[1])
            .unwrap()
            .set_modified(modified)
            .unwrap();
        assert!(!differ());
        fs::hard_link(&paths[1], paths[1].with_extension("link")).unwrap();
        assert!(differ());
    }
}
