//! A walk over all groups of a hierarchy. Users build them, as deep and as many as they like, in
//! what was delegated to them: so nothing here recurses, and one descriptor is enough for any depth.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};

use super::{MEMORY, Version};
use crate::proc;

/// Most groups of a walk. The kernel itself has at most 65,535 groups with memory of their own
/// (`MEM_CGROUP_ID_MAX`).
pub const MOST: usize = 1 << 17;

/// Bytes of a path that are shown of each end of a long one.
const SHOWN: usize = 256;

/// Why a walk did not see all groups.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A group can't be opened or listed.
    #[error("cannot look into the cgroup {}: {source}", shown(.group))]
    Group {
        /// Its directory.
        group: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There are too many.
    #[error(
        "there are more than {most} cgroups below {}, the most that are looked at: remove some \
         (rmdir)", .top.display()
    )]
    TooMany {
        /// Where the walk began.
        top: PathBuf,
        /// The limit.
        most: usize,
    },
}

/// Calls `visit` for `top` and each group below it that can have memory of its own, with its
/// path, which may be too long to be opened, and its directory. A group that goes meanwhile is left
/// out.
///
/// # Errors
/// Those of `visit`, which end the walk, and [`WalkError`], of more than `most` groups too.
pub fn walk<E: From<WalkError>>(
    top: &Path,
    version: Version,
    most: usize,
    mut visit: impl FnMut(&Path, BorrowedFd<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk = Walk {
        top,
        version,
        path: top.to_owned(),
        directory: open(CWD, top.as_os_str().as_bytes()).map_err(|source| WalkError::Group {
            group: top.to_owned(),
            source,
        })?,
        ahead: Vec::new(),
        left: most,
        most,
    };
    loop {
        visit(&walk.path, walk.directory.as_fd())?;
        let below = walk.below()?;
        walk.ahead.push(below);
        if !walk.advance()? {
            return Ok(());
        }
    }
}

struct Walk<'a> {
    top: &'a Path,
    version: Version,
    /// Where it is.
    path: PathBuf,
    directory: OwnedFd,
    /// Groups to go to: of `top`, of the one below it, and so on down to where it is.
    ahead: Vec<Vec<CString>>,
    /// How many more groups may be found.
    left: usize,
    most: usize,
}

impl Walk<'_> {
    /// The names of the groups in the one where it is.
    fn below(&mut self) -> Result<Vec<CString>, WalkError> {
        match self.list() {
            Ok(Some(names)) => Ok(names),
            Ok(None) => Err(WalkError::TooMany {
                top: self.top.to_owned(),
                most: self.most,
            }),
            Err(e) if vanished(&e) => Ok(Vec::new()),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// The names; `None` if they are too many.
    fn list(&mut self) -> io::Result<Option<Vec<CString>>> {
        let mut names = Vec::new();
        if self.version == Version::V2 {
            let control = proc::read_at(self.directory.as_fd(), "cgroup.subtree_control")?;
            if !proc::words(&control).any(|name| name == MEMORY.as_bytes()) {
                // Their memory is this group's.
                return Ok(Some(names));
            }
        }
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            // cgroupfs tells the type of each entry.
            if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return Ok(None);
            };
            self.left = left;
            names.push(name.to_owned());
        }
        Ok(Some(names))
    }

    /// Goes to the next group. Returns whether there was one.
    fn advance(&mut self) -> Result<bool, WalkError> {
        while let Some(ahead) = self.ahead.last_mut() {
            let Some(name) = ahead.pop() else {
                self.ahead.pop();
                if !self.ahead.is_empty() {
                    // A group is never moved to another one: this is the one it came from.
                    self.directory = open(&self.directory, b"..").map_err(|e| self.failed(e))?;
                    self.path.pop();
                }
                continue;
            };
            let next = open(&self.directory, name.to_bytes());
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            match next {
                Ok(next) => {
                    self.directory = next;
                    return Ok(true);
                }
                Err(e) if vanished(&e) => {
                    self.path.pop();
                }
                Err(e) => return Err(self.failed(e)),
            }
        }
        Ok(false)
    }

    fn failed(&self, source: io::Error) -> WalkError {
        WalkError::Group {
            group: self.path.clone(),
            source,
        }
    }
}

fn open(at: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

/// Whether an error says that a group is not there any more. kernfs says ENODEV of a file whose
/// group goes while it is read.
pub(super) fn vanished(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// A group's path for a message. The middle of a very long one is left out.
#[must_use]
pub fn shown(group: &Path) -> String {
    let bytes = group.as_os_str().as_bytes();
    if bytes.len() <= 2 * SHOWN {
        return format!("{group:?}");
    }
    let (start, rest) = bytes.split_at(SHOWN);
    let (middle, end) = rest.split_at(rest.len() - SHOWN);
    format!(
        "{:?} ({} bytes) {:?}",
        OsStr::from_bytes(start),
        middle.len(),
        OsStr::from_bytes(end)
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn seen(top: &Path, version: Version, most: usize) -> Result<Vec<PathBuf>, WalkError> {
        let mut seen = Vec::new();
        walk(top, version, most, |path, _| {
            seen.push(path.strip_prefix(top).unwrap().to_owned());
            Ok::<_, WalkError>(())
        })?;
        seen.sort();
        Ok(seen)
    }

    #[test]
    fn each_group_is_visited_once() {
        let top = tempfile::tempdir().unwrap();
        for group in ["a/b/c", "a/d", "e"] {
            fs::create_dir_all(top.path().join(group)).unwrap();
        }
        fs::write(top.path().join("a/file"), "").unwrap();
        std::os::unix::fs::symlink("/", top.path().join("a/link")).unwrap();
        let all = ["", "a", "a/b", "a/b/c", "a/d", "e"].map(PathBuf::from);
        assert_eq!(seen(top.path(), Version::V1, 5).unwrap(), all);
        let error = seen(top.path(), Version::V1, 4).unwrap_err().to_string();
        assert!(error.contains("more than 4 cgroups"), "{error}");
        let error = seen(&top.path().join("none"), Version::V1, 4).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn groups_without_memory_of_their_own_are_left_out() {
        let top = tempfile::tempdir().unwrap();
        for (group, control) in [("", "cpu memory\n"), ("a", "cpu\n"), ("a/b", "memory\n")] {
            let group = top.path().join(group);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("cgroup.subtree_control"), control).unwrap();
        }
        assert_eq!(
            seen(top.path(), Version::V2, 9).unwrap(),
            ["", "a"].map(PathBuf::from)
        );
    }

    #[test]
    fn long_paths_are_shown_in_part() {
        assert_eq!(shown(Path::new("/a b")), "\"/a b\"");
        let long = PathBuf::from("/a".repeat(50_000));
        assert!(shown(&long).len() < 3 * SHOWN);
    }
}
