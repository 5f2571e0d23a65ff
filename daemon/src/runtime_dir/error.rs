//! Why a runtime directory cannot be used.

use std::io;
use std::path::PathBuf;

/// Why the runtime directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// Another daemon has it.
    #[error(
        "already running (pid {pid}) with the runtime directory {}: use that one, end it, or \
         give another --runtime-dir", .path.display()
    )]
    AlreadyRunning {
        /// Its process id, `?` if it has not written it yet.
        pid: String,
        /// The directory.
        path: PathBuf,
    },
    /// Others could put their own files there.
    #[error(
        "the runtime directory {} can be written by others than its owner (mode {mode:o}): name \
         a directory of its own with --runtime-dir", .path.display()
    )]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Somebody else's.
    #[error(
        "the runtime directory {} is not yours (it belongs to uid {owner}, and you are uid \
         {uid}): remove it, or name another one with --runtime-dir", .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// A file in it is somebody else's.
    #[error(
        "{} is not yours (it belongs to uid {owner}, and you are uid {uid}): remove it, or name \
         another directory with --runtime-dir", .path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// The directory, or a file in it, is something else.
    #[error(
        "{} is {found} (it belongs to uid {owner}), and no {wanted}: remove it, or name another \
         directory with --runtime-dir", .path.display()
    )]
    Kind {
        /// What is there.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it has to be.
        wanted: &'static str,
        /// Whose it is.
        owner: u32,
    },
    /// Something in it could not be made.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl RuntimeDirError {
    /// Whether the directory is not there.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, RuntimeDirError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
