//! The two paths of a mount: what they must be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use compcache_host::descriptor;

use super::dead;
use crate::protocol::{ErrorCode, Refusal};

/// What is wrong with the paths of a mount.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Not there.
    #[error("{what} {path:?}: no such directory: create it, or name another")]
    Missing {
        /// `SOURCE` or `MOUNTPOINT`.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A file of another kind.
    #[error("{what} {path:?} is not a directory: only directories can be mounted")]
    NotDirectory {
        /// `SOURCE` or `MOUNTPOINT`.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// Could not be looked at.
    #[error("{what} {path:?}: {source}")]
    Io {
        /// `SOURCE` or `MOUNTPOINT`.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Not text.
    #[error("{what} {} is not valid UTF-8: give it a name that is", .path.display())]
    NotUtf8 {
        /// `SOURCE` or `MOUNTPOINT`.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// One lies in the other.
    #[error(
        "MOUNTPOINT {} and SOURCE {} lie one in the other: mount it at a directory outside of \
         SOURCE, or over SOURCE itself", .mountpoint.display(), .source_dir.display()
    )]
    Nested {
        /// Where to mount.
        mountpoint: PathBuf,
        /// What to show.
        source_dir: PathBuf,
    },
    /// Mounted already.
    #[error(
        "{path} is already a compcache mount: unmount it first with `compcache umount {path}`",
        path = .0.display()
    )]
    Mounted(PathBuf),
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Refusal {
        let code = match &error {
            PathError::Missing { .. } => ErrorCode::Enoent,
            PathError::Mounted(_) => ErrorCode::Ebusy,
            PathError::Io { source, .. } => source
                .raw_os_error()
                .map_or(ErrorCode::Eio, ErrorCode::from_errno),
            _ => ErrorCode::Einval,
        };
        Refusal::new(code, error.to_string())
    }
}

/// As [`resolve`], and nothing may be mounted there yet: that the server of mounts finds out, which knows whether it
/// has to wait for another. A dead mount at `mountpoint` is no error.
///
/// # Errors
/// [`PathError`].
pub fn check(
    source: Option<&Path>,
    mountpoint: &Path,
) -> Result<(Option<PathBuf>, PathBuf), PathError> {
    let (source, mountpoint) = resolve(source, mountpoint)?;
    if !dead::is_dead(&mountpoint) {
        let mounted = dead::is_mounted(&mountpoint).map_err(|source| PathError::Io {
            what: "MOUNTPOINT",
            path: mountpoint.clone(),
            source,
        })?;
        if mounted {
            return Err(PathError::Mounted(mountpoint));
        }
    }
    Ok((source, mountpoint))
}

/// Makes the paths of a mount absolute, without symbolic links, and checks what they lead to. A mount at
/// `mountpoint`, working or dead, is no error.
///
/// # Errors
/// [`PathError`].
pub fn resolve(
    source: Option<&Path>,
    mountpoint: &Path,
) -> Result<(Option<PathBuf>, PathBuf), PathError> {
    let source = source.map(|path| directory("SOURCE", path)).transpose()?;
    let mountpoint = self::mountpoint(mountpoint)?;
    match directory("MOUNTPOINT", &mountpoint) {
        // Dead, perhaps only since its path was followed.
        Err(PathError::Io { source, .. }) if descriptor::is_of_lost_server(&source) => {}
        other => drop(other?),
    }
    match &source {
        // Over itself it may be: what is below stays open.
        Some(source)
            if *source != mountpoint
                && (source.starts_with(&mountpoint) || mountpoint.starts_with(source)) =>
        {
            Err(PathError::Nested {
                mountpoint,
                source_dir: source.clone(),
            })
        }
        _ => Ok((source, mountpoint)),
    }
}

/// Makes the path of a mount absolute and without symbolic links, even if the mount is dead.
///
/// # Errors
/// If it is not there.
pub fn mountpoint(path: &Path) -> Result<PathBuf, PathError> {
    let what = "MOUNTPOINT";
    match path.canonicalize() {
        Err(e) if descriptor::is_of_lost_server(&e) => {
            // The last part is the dead mount; what leads to it can be followed.
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(failed(what, path, e));
            };
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let parent = parent.canonicalize().map_err(|e| failed(what, path, e))?;
            utf8(what, parent.join(name))
        }
        Err(e) => Err(failed(what, path, e)),
        Ok(path) => utf8(what, path),
    }
}

fn directory(what: &'static str, path: &Path) -> Result<PathBuf, PathError> {
    let absolute = path.canonicalize().map_err(|e| failed(what, path, e))?;
    let metadata = fs::metadata(&absolute).map_err(|e| failed(what, path, e))?;
    if !metadata.is_dir() {
        return Err(PathError::NotDirectory {
            what,
            path: path.to_owned(),
        });
    }
    utf8(what, absolute)
}

fn utf8(what: &'static str, path: PathBuf) -> Result<PathBuf, PathError> {
    if path.to_str().is_some() {
        Ok(path)
    } else {
        Err(PathError::NotUtf8 { what, path })
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> PathError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => PathError::Missing { what, path },
        io::ErrorKind::NotADirectory => PathError::NotDirectory { what, path },
        _ => PathError::Io { what, path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use compcache_test_support::{SetAtEnd, needs};
    use rustix::mount::UnmountFlags;

    use super::*;

    fn message(source: &Path, mountpoint: &Path) -> String {
        check(Some(source), mountpoint).unwrap_err().to_string()
    }

    #[test]
    fn good_paths_become_absolute_and_plain() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir(top.join("c")).unwrap();
        std::os::unix::fs::symlink("a/b", top.join("link")).unwrap();
        let (source, mountpoint) = check(Some(&top.join("link")), &top.join("a/../c")).unwrap();
        assert_eq!(source, Some(top.join("a/b")));
        assert_eq!(mountpoint, top.join("c"));
        assert_eq!(check(None, &top.join("c")).unwrap(), (None, top.join("c")));
    }

    #[test]
    fn bad_paths_are_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        let (a, inner, file) = (top.join("a"), top.join("a/b"), top.join("file"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(&file, "").unwrap();
        assert!(message(&top.join("no"), &a).contains("SOURCE"));
        assert!(message(&a, &top.join("no")).contains("MOUNTPOINT"));
        assert!(message(&file, &a).contains("file\" is not a directory"));
        assert!(message(&a, &file).contains("file\" is not a directory"));
        for (source, mountpoint) in [(&a, &inner), (&inner, &a)] {
            assert!(message(source, mountpoint).contains("one in the other"));
        }
        check(Some(&a), &a).unwrap();
        // A name that only begins alike is another directory.
        fs::create_dir(top.join("ab")).unwrap();
        check(Some(&a), &top.join("ab")).unwrap();
        let odd = top.join(OsStr::from_bytes(b"\xff"));
        fs::create_dir(&odd).unwrap();
        assert!(message(&a, &odd).contains("UTF-8"));
    }

    /// A mount may die, or be taken away, at any moment of the check.
    #[test]
    fn a_mount_that_dies_meanwhile_is_no_error() {
        const ROUNDS: usize = 500;
        if !needs::root() || !needs::file("/dev/fuse") {
            return;
        }
        let _others = dead::tests::among_others();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _over = SetAtEnd(&over);
                for _ in 0..ROUNDS {
                    compcache_test_support::mount_dead(&path, dead::KIND, 0o40000);
                    rustix::mount::unmount(&path, UnmountFlags::DETACH).unwrap();
                }
            });
            while !over.load(Ordering::Relaxed) {
                let found = resolve(None, &path);
                assert!(matches!(&found, Ok((None, to)) if *to == path), "{found:?}");
            }
        });
    }
}
