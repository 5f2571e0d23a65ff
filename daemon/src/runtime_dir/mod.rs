//! The runtime directory: one daemon at a time, its lock and its socket.

mod directory;
mod error;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags, flock};

pub(crate) use self::directory::Directory;
pub use self::error::RuntimeDirError;
use crate::args::DEFAULT_RUNTIME_DIR;

/// Name of the control socket in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";
/// Name of the log of a daemon that a client started, in the runtime directory.
pub const LOG_NAME: &str = "compcached.log";
/// Name of the lock file. It stays when the daemon ends: removing it would let two daemons
/// each lock a file of that name.
const LOCK_NAME: &str = "compcached.lock";

/// Name of the file that processes lock while they have mounts. It stays, too.
const MOUNTS_LOCK_NAME: &str = "mounts.lock";

/// A runtime directory that is this process's for as long as this value lives.
#[derive(Debug)]
pub struct RuntimeDir {
    directory: Arc<Directory>,
    _lock: File,
}

/// The control socket; its name goes when this value does.
#[derive(Debug)]
pub struct SocketName(Arc<Directory>);

impl RuntimeDir {
    /// Makes the directory if it is not there, and locks it.
    ///
    /// # Errors
    /// [`RuntimeDirError`].
    pub fn claim(path: &Path) -> Result<RuntimeDir, RuntimeDirError> {
        let directory = Directory::make(path)?;
        let mut lock = directory.file(LOCK_NAME, OFlags::empty())?;
        let failed = |action, source| RuntimeDirError::Io {
            action,
            path: directory.path_of(LOCK_NAME),
            source,
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(RuntimeDirError::AlreadyRunning {
                    pid: read_pid(&mut lock),
                    path: path.to_owned(),
                });
            }
            Err(e) => return Err(failed("lock", e.into())),
        }
        write_pid(&mut lock).map_err(|e| failed("write", e))?;
        Ok(RuntimeDir {
            directory: Arc::new(directory),
            _lock: lock,
        })
    }

    /// The path of the file that processes of the daemon lock while they have mounts. It is made if it is not
    /// there.
    ///
    /// # Errors
    /// [`RuntimeDirError`].
    pub fn mounts_lock(&self) -> Result<PathBuf, RuntimeDirError> {
        self.directory.file(MOUNTS_LOCK_NAME, OFlags::empty())?;
        Ok(self.directory.path_of(MOUNTS_LOCK_NAME))
    }

    /// Listens on the control socket: mode 0600, or 0660 for a group. A socket that a crashed
    /// daemon left is replaced; the lock says that nobody listens on it.
    ///
    /// # Errors
    /// [`RuntimeDirError::Io`]; [`RuntimeDirError::Kind`] and [`RuntimeDirError::ForeignFile`] if something else
    /// has the socket's name.
    pub fn listen(
        &self,
        group: Option<u32>,
    ) -> Result<(UnixListener, SocketName), RuntimeDirError> {
        let directory = &self.directory;
        if directory.remove_socket(SOCKET_NAME)? {
            tracing::info!("removed the control socket that a crashed daemon left");
        }
        let listener = UnixListener::bind(directory.reach(SOCKET_NAME)).map_err(|source| {
            RuntimeDirError::Io {
                action: "listen on",
                path: directory.path_of(SOCKET_NAME),
                source,
            }
        })?;
        let name = SocketName(Arc::clone(directory));
        // Nobody gets in before: each connection's peer is checked, too.
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        directory.set_rights(SOCKET_NAME, group, mode)?;
        Ok((listener, name))
    }
}

/// The runtime directory of a daemon that user `uid` starts, if none is named:
/// [`DEFAULT_RUNTIME_DIR`] for root, otherwise `compcache` in `$XDG_RUNTIME_DIR` or, if that
/// is not set, `/tmp/compcache-UID`.
#[must_use]
pub fn default_for(uid: u32) -> PathBuf {
    private(uid, std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
}

fn private(uid: u32, xdg: Option<PathBuf>) -> PathBuf {
    match xdg.filter(|dir| dir.is_absolute()) {
        _ if uid == 0 => PathBuf::from(DEFAULT_RUNTIME_DIR),
        Some(dir) => dir.join("compcache"),
        None => PathBuf::from(format!("/tmp/compcache-{uid}")),
    }
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if let Err(e) = self.0.remove_socket(SOCKET_NAME) {
            tracing::warn!("{e}");
        }
    }
}

fn read_pid(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(16).read_to_string(&mut text);
    match text.trim() {
        "" => "?".to_owned(),
        pid if read.is_ok() => pid.to_owned(),
        _ => "?".to_owned(),
    }
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn a_second_claim_is_refused_and_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = RuntimeDir::claim(&path).unwrap();
        let error = RuntimeDir::claim(&path).unwrap_err();
        let pid = std::process::id();
        assert!(
            error
                .to_string()
                .contains(&format!("already running (pid {pid})")),
            "{error}"
        );
        drop(first);
        RuntimeDir::claim(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        let error = RuntimeDir::claim(dir.path()).unwrap_err();
        assert!(
            matches!(error, RuntimeDirError::Unsafe { mode: 0o1777, .. }),
            "{error}"
        );
    }

    #[test]
    fn each_user_has_a_directory() {
        let run = || Some(PathBuf::from("/run/user/7"));
        assert_eq!(private(0, run()), Path::new("/run/compcache"));
        assert_eq!(private(7, run()), Path::new("/run/user/7/compcache"));
        assert_eq!(private(7, None), Path::new("/tmp/compcache-7"));
        assert_eq!(private(7, Some("".into())), Path::new("/tmp/compcache-7"));
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        if !compcache_test_support::needs::root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(65534), None).unwrap();
        let error = RuntimeDir::claim(dir.path()).unwrap_err().to_string();
        assert!(error.contains("uid 65534"), "{error}");
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "text").unwrap();
        symlink(&victim, dir.path().join(LOCK_NAME)).unwrap();
        let error = RuntimeDir::claim(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), b"text");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_the_new_one_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::claim(dir.path()).unwrap();
        let path = dir.path().join(SOCKET_NAME);
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, name) = runtime.listen(None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        drop(name);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let error = RuntimeDir::claim(&path).unwrap_err().to_string();
        assert!(error.contains("is a regular file"), "{error}");
    }
}
