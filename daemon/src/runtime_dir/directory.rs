//! A runtime directory by its descriptor.
//!
//! Its default without `$XDG_RUNTIME_DIR` lies in `/tmp`, where anybody may have made it before, with a link to a
//! file of its victim's in place of the log. So the directory is opened once, without following a link, and looked
//! at through the descriptor; all that is done in it goes by that.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use compcache_host::descriptor;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, chmodat, chownat, fstat, mkdirat, open,
    openat, statat, unlinkat,
};
use rustix::io::Errno;

use super::error::RuntimeDirError;

/// What regular files are called in messages.
const FILE: &str = "regular file with one name";

/// An open directory that nobody but its owner can write to.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Opens a runtime directory of this user or of root. Root, who may ask anybody's daemon, opens any
    /// user's.
    ///
    /// # Errors
    /// [`RuntimeDirError::Kind`] (a symbolic link, too), [`RuntimeDirError::Foreign`],
    /// [`RuntimeDirError::Unsafe`]; [`RuntimeDirError::Io`], among others if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Directory, RuntimeDirError> {
        // Without a slash at its end, with which the system would follow a link.
        let path: PathBuf = path.components().collect();
        let failed = |source: Errno| io_error("open the runtime directory", &path, source.into());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&fd).map_err(failed)?;
        let (mode, owner, uid) = (found.st_mode & 0o7777, found.st_uid, uid());
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Err(kind(path, &found, "directory"));
        }
        if owner != 0 && owner != uid && uid != 0 {
            return Err(RuntimeDirError::Foreign { path, owner, uid });
        }
        if mode & 0o022 != 0 {
            return Err(RuntimeDirError::Unsafe { path, mode });
        }
        Ok(Directory { path, fd })
    }

    /// Opens this user's runtime directory, and makes it and those above it first if it is not there. Root's new
    /// one has mode 0755 whatever the umask says, so that others get "permission denied", and not that there is
    /// no daemon; a user's has 0700.
    ///
    /// # Errors
    /// As [`Directory::open`]; it must be this user's own.
    pub(crate) fn make(path: &Path) -> Result<Directory, RuntimeDirError> {
        let directory = match Directory::open(path) {
            Err(error) if error.is_missing() => Directory::make_new(path)?,
            result => result?,
        };
        let failed = |e: Errno| io_error("examine", &directory.path, e.into());
        let (owner, uid) = (fstat(&directory.fd).map_err(failed)?.st_uid, uid());
        if owner != uid {
            let path = directory.path;
            return Err(RuntimeDirError::Foreign { path, owner, uid });
        }
        Ok(directory)
    }

    fn make_new(path: &Path) -> Result<Directory, RuntimeDirError> {
        let failed = |source| io_error("make the runtime directory", path, source);
        let mode = if uid() == 0 { 0o755 } else { 0o700 };
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(parent)
                .map_err(failed)?;
        }
        let mode = Mode::from_raw_mode(mode);
        match mkdirat(CWD, path, mode) {
            Ok(()) => {}
            // Another client was faster.
            Err(Errno::EXIST) => return Directory::open(path),
            Err(e) => return Err(failed(e.into())),
        }
        let directory = Directory::open(path)?;
        chmodat(&directory.fd, ".", mode, AtFlags::empty()).map_err(|e| failed(e.into()))?;
        Ok(directory)
    }

    /// The path of something in it, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path by which this process reaches something in it, for system calls that take paths only.
    pub(crate) fn reach(&self, name: &str) -> PathBuf {
        Path::new(&descriptor::path(&self.fd)).join(name)
    }

    /// Opens a regular file of this user for reading and writing, and makes it first if it is not there, with mode
    /// 0600. Changes nothing of what is there.
    ///
    /// # Errors
    /// [`RuntimeDirError::Kind`] for a link of either kind and for what is no regular file,
    /// [`RuntimeDirError::ForeignFile`], [`RuntimeDirError::Io`].
    pub(crate) fn file(&self, name: &str, flags: OFlags) -> Result<File, RuntimeDirError> {
        let flags = flags | OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A pipe or a terminal must not have us wait.
        let flags = flags | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = match openat(&self.fd, name, flags, mode) {
            Ok(fd) => fd,
            Err(error) => {
                self.check(name, FileType::RegularFile, FILE)?;
                return Err(io_error("open", &self.path_of(name), error.into()));
            }
        };
        let failed = |e: Errno| io_error("examine", &self.path_of(name), e.into());
        self.check_found(
            name,
            &fstat(&fd).map_err(failed)?,
            FileType::RegularFile,
            FILE,
        )?;
        Ok(fd.into())
    }

    /// Removes a socket that was left. Whether there was one.
    ///
    /// # Errors
    /// [`RuntimeDirError::Kind`] for anything else, [`RuntimeDirError::ForeignFile`],
    /// [`RuntimeDirError::Io`].
    pub(crate) fn remove_socket(&self, name: &str) -> Result<bool, RuntimeDirError> {
        if !self.check(name, FileType::Socket, "socket")? {
            return Ok(false);
        }
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(io_error("remove", &self.path_of(name), e.into())),
        }
    }

    /// Gives something in it to a group, if one is named, with a mode.
    ///
    /// # Errors
    /// [`RuntimeDirError::Io`].
    pub(crate) fn set_rights(
        &self,
        name: &str,
        group: Option<u32>,
        mode: u32,
    ) -> Result<(), RuntimeDirError> {
        let failed = |action| move |e: Errno| io_error(action, &self.path_of(name), e.into());
        if let Some(group) = group {
            let group = Some(Gid::from_raw(group));
            chownat(&self.fd, name, None, group, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed("change the group of"))?;
        }
        chmodat(&self.fd, name, Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(failed("change the mode of"))
    }

    /// Refuses what is not this user's, or of another kind. Whether anything is there.
    fn check(
        &self,
        name: &str,
        file_type: FileType,
        wanted: &'static str,
    ) -> Result<bool, RuntimeDirError> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => self
                .check_found(name, &found, file_type, wanted)
                .map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(io_error("examine", &self.path_of(name), e.into())),
        }
    }

    fn check_found(
        &self,
        name: &str,
        found: &Stat,
        file_type: FileType,
        wanted: &'static str,
    ) -> Result<(), RuntimeDirError> {
        let (path, owner, uid) = (self.path_of(name), found.st_uid, uid());
        // Another name of a regular file may be one that its owner does not reckon with.
        let is_linked = file_type == FileType::RegularFile && found.st_nlink > 1;
        if FileType::from_raw_mode(found.st_mode) != file_type || is_linked {
            return Err(kind(path, found, wanted));
        }
        if owner != uid {
            return Err(RuntimeDirError::ForeignFile { path, owner, uid });
        }
        Ok(())
    }
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn kind(path: PathBuf, found: &Stat, wanted: &'static str) -> RuntimeDirError {
    let owner = found.st_uid;
    let found = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile if found.st_nlink > 1 => "a file with other names (hard links)",
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    RuntimeDirError::Kind {
        path,
        found,
        wanted,
        owner,
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> RuntimeDirError {
    let path = path.to_owned();
    RuntimeDirError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use compcache_test_support::needs;

    use super::*;

    const NAME: &str = "compcached.log";

    /// A safe directory in another.
    fn directory() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let made = Directory::make(&dir.path().join("run")).unwrap();
        (dir, made)
    }

    fn refusal(directory: &Directory) -> String {
        directory
            .file(NAME, OFlags::APPEND)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_left_as_it_is() {
        let (dir, directory) = directory();
        let (victim, log) = (dir.path().join("victim"), directory.path_of(NAME));
        fs::write(&victim, "text").unwrap();
        symlink(&victim, &log).unwrap();
        let message = refusal(&directory);
        for words in [
            log.to_str().unwrap(),
            "is a symbolic link",
            "uid",
            "remove it",
        ] {
            assert!(message.contains(words), "{message}");
        }
        fs::remove_file(&log).unwrap();
        fs::hard_link(&victim, &log).unwrap();
        assert!(refusal(&directory).contains("other names"));
        assert_eq!(fs::read(&victim).unwrap(), b"text");
        fs::remove_file(&log).unwrap();
        symlink(dir.path().join("none"), &log).unwrap();
        assert!(refusal(&directory).contains("symbolic link"));
        assert!(!dir.path().join("none").exists());
        fs::remove_file(&log).unwrap();
        fs::create_dir(&log).unwrap();
        assert!(refusal(&directory).contains("is a directory"));
        fs::remove_dir(&log).unwrap();
        let fifo = (FileType::Fifo, Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(CWD, &log, fifo.0, fifo.1, 0).unwrap();
        assert!(refusal(&directory).contains("is a pipe"));
        fs::remove_file(&log).unwrap();
        assert_eq!(
            directory
                .file(NAME, OFlags::APPEND)
                .unwrap()
                .metadata()
                .unwrap()
                .mode()
                & 0o7777,
            0o600
        );
    }

    #[test]
    fn files_of_others_are_refused() {
        if !needs::root() {
            return;
        }
        let (_dir, directory) = directory();
        let log = directory.path_of(NAME);
        fs::write(&log, "text").unwrap();
        chown(&log, Some(65534), None).unwrap();
        let message = refusal(&directory);
        assert!(
            message.contains("uid 65534, and you are uid 0"),
            "{message}"
        );
    }

    #[test]
    fn root_opens_a_users_directory_but_makes_nothing_there() {
        if !needs::root() {
            return;
        }
        let (dir, _directory) = directory();
        let run = dir.path().join("run");
        chown(&run, Some(65534), None).unwrap();
        Directory::open(&run).unwrap();
        let error = Directory::make(&run).unwrap_err();
        assert!(matches!(error, RuntimeDirError::Foreign { .. }), "{error}");
    }

    #[test]
    fn links_to_directories_are_not_followed() {
        let (dir, _directory) = directory();
        let link = dir.path().join("link");
        symlink(dir.path().join("run"), &link).unwrap();
        for path in [link.clone(), link.join("")] {
            for result in [Directory::open(&path), Directory::make(&path)] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains("is a symbolic link"), "{error}");
            }
        }
    }

    #[test]
    fn what_was_checked_is_what_is_used() {
        let (dir, directory) = directory();
        let (run, aside) = (dir.path().join("run"), dir.path().join("aside"));
        fs::rename(&run, &aside).unwrap();
        fs::create_dir(&run).unwrap();
        directory.file(NAME, OFlags::APPEND).unwrap();
        assert!(aside.join(NAME).exists());
        assert!(!run.join(NAME).exists());
    }

    #[test]
    fn only_a_socket_is_removed() {
        let (_dir, directory) = directory();
        assert!(!directory.remove_socket("socket").unwrap());
        fs::write(directory.path_of("socket"), "text").unwrap();
        let error = directory.remove_socket("socket").unwrap_err().to_string();
        assert!(error.contains("is a regular file"), "{error}");
        assert!(directory.path_of("socket").exists());
    }

    #[test]
    fn the_mode_is_what_was_asked_for() {
        let (dir, _directory) = directory();
        let expected = if uid() == 0 { 0o755 } else { 0o700 };
        let run = dir.path().join("run");
        assert_eq!(fs::metadata(&run).unwrap().mode() & 0o7777, expected);
        // One that is there keeps its mode.
        fs::set_permissions(&run, Permissions::from_mode(0o711)).unwrap();
        Directory::make(&run).unwrap();
        assert_eq!(fs::metadata(&run).unwrap().mode() & 0o7777, 0o711);
    }
}
