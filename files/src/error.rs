//! Why a mount could not be made, or not be taken away.

use std::io;
use std::path::{Path, PathBuf};

use compcache_host::remedy;

/// Why something could not be done to a mount.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A call of the system failed.
    #[error("cannot {doing} {path}: {source}{}", remedy::suffix(*.remedy))]
    System {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
        /// What the user can do, if anything.
        remedy: Option<&'static str>,
    },
    /// No memory for the cache.
    #[error("no memory for {what} of {bytes} bytes: {source}; give a smaller --cache")]
    Memory {
        /// For what.
        what: &'static str,
        /// How much.
        bytes: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A value that cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The mount is in use.
    #[error("{0} is in use: close its files, leave its directories, then unmount it again")]
    Busy(PathBuf),
    /// The path of the mount leads to another one.
    #[error("another file system is mounted over {0}, or above it: unmount that first")]
    Covered(PathBuf),
    /// The mount point was renamed while the mount was made.
    #[error(
        "{0} is another directory than when it was about to be mounted: somebody renames \
         directories there; use one that only you can rename"
    )]
    Moved(PathBuf),
}

impl FilesError {
    /// A call of the system failed.
    pub(crate) fn system(
        doing: &'static str,
        path: &Path,
        source: io::Error,
        remedy: impl Into<Option<&'static str>>,
    ) -> Self {
        FilesError::System {
            doing,
            path: path.to_owned(),
            source,
            remedy: remedy.into(),
        }
    }
}
