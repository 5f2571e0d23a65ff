//! The runtime directory: one daemon at a time, its lock and its socket.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::args::DEFAULT_RUNTIME_DIR;

/// Name of the control socket in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";
/// Name of the log of a daemon that a client started, in the runtime directory.
pub const LOG_NAME: &str = "compcached.log";
/// Name of the lock file. It stays when the daemon ends: removing it would let two daemons
/// each lock a file of that name.
const LOCK_NAME: &str = "compcached.lock";

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

/// A runtime directory that is this process's for as long as this value lives.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    _lock: File,
}

/// The control socket; its name goes when this value does.
#[derive(Debug)]
pub struct SocketName(PathBuf);

impl RuntimeDir {
    /// Makes the directory if it is not there, and locks it.
    ///
    /// # Errors
    /// [`RuntimeDirError`].
    pub fn claim(path: &Path) -> Result<RuntimeDir, RuntimeDirError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| RuntimeDirError::Io {
                action,
                path,
                source,
            }
        };
        make_dir(path).map_err(failed("make the runtime directory", path))?;
        let metadata = fs::symlink_metadata(path).map_err(failed("examine", path))?;
        check(path, &metadata)?;
        let lock_path = path.join(LOCK_NAME);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open the lock file", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(RuntimeDirError::AlreadyRunning {
                    pid: read_pid(&mut lock),
                    path: path.to_owned(),
                });
            }
            Err(e) => return Err(failed("lock", &lock_path)(e.into())),
        }
        write_pid(&mut lock).map_err(failed("write", &lock_path))?;
        Ok(RuntimeDir {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Listens on the control socket: mode 0600, or 0660 for a group. A socket that a crashed
    /// daemon left is replaced; the lock says that nobody listens on it.
    ///
    /// # Errors
    /// [`RuntimeDirError::Io`].
    pub fn listen(
        &self,
        group: Option<u32>,
    ) -> Result<(UnixListener, SocketName), RuntimeDirError> {
        let path = self.path.join(SOCKET_NAME);
        let failed = |action| {
            let path = path.clone();
            move |source| RuntimeDirError::Io {
                action,
                path,
                source,
            }
        };
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!("removed the control socket that a crashed daemon left"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("remove the stale control socket")(e)),
        }
        let listener = UnixListener::bind(&path).map_err(failed("listen on"))?;
        let name = SocketName(path.clone());
        // Nobody gets in before: each connection's peer is checked, too.
        if group.is_some() {
            chown(&path, None, group).map_err(failed("change the group of"))?;
        }
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .map_err(failed("change the mode of"))?;
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

/// Whether a daemon in the directory would be this user's, or root's: nobody else may have put a
/// socket there. A directory that is not there has none.
///
/// # Errors
/// [`RuntimeDirError::Foreign`] and [`RuntimeDirError::Unsafe`].
pub fn check_owner(path: &Path) -> Result<(), RuntimeDirError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => check(path, &metadata),
        // Clients that connect get the error.
        Err(_) => Ok(()),
    }
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), RuntimeDirError> {
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let uid = rustix::process::geteuid().as_raw();
    let path = || path.to_owned();
    if owner != 0 && owner != uid {
        let path = path();
        return Err(RuntimeDirError::Foreign { path, owner, uid });
    }
    if metadata.is_dir() && mode & 0o022 != 0 {
        return Err(RuntimeDirError::Unsafe { path: path(), mode });
    }
    Ok(())
}

impl Drop for SocketName {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.0) {
            tracing::warn!("cannot remove {}: {e}", self.0.display());
        }
    }
}

/// Makes the directory and its parents. Root's last one has mode 0755 whatever the umask says, so
/// that others get "permission denied", and not that there is no daemon; a user's is 0700.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let root = rustix::process::geteuid().is_root();
    let mode = if root { 0o755 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
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
        let dir = tempfile::tempdir().unwrap();
        check_owner(dir.path()).unwrap();
        check_owner(&dir.path().join("none")).unwrap();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        chown(dir.path(), Some(65534), None).unwrap();
        let error = check_owner(dir.path()).unwrap_err().to_string();
        assert!(error.contains("uid 65534"), "{error}");
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
        assert!(error.contains("make the runtime directory"), "{error}");
    }
}
