//! Whether mounts of a daemon that has died are still there: their process holds a lock for as long as it has
//! mounts, and writes them out meanwhile.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

/// The lock of a process that has mounts. It goes with this value, and with the process.
#[derive(Debug)]
pub(super) struct Lifetime {
    _file: File,
}

impl Lifetime {
    /// Takes the lock, in the file at `path`, for mounts of the daemon with that process id.
    ///
    /// # Errors
    /// Those of open(2) and fcntl(2).
    pub(super) fn begin(path: &Path, daemon: u32) -> io::Result<Lifetime> {
        let file = open(path)?;
        let lock = range(libc::F_RDLCK, daemon.into(), 1);
        fcntl(&file, FcntlArg::F_SETLK(&lock))?;
        Ok(Lifetime { _file: file })
    }
}

/// The process that has mounts of another daemon than the one with process id `own`, if there is one.
///
/// # Errors
/// Those of open(2) and fcntl(2).
pub(super) fn of_others(path: &Path, own: u32) -> io::Result<Option<u32>> {
    let file = open(path)?;
    let own = i64::from(own);
    for (start, length) in [(0, own), (own + 1, 0)] {
        let mut lock = range(libc::F_WRLCK, start, length);
        fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
        if libc::c_int::from(lock.l_type) != libc::F_UNLCK {
            return Ok(u32::try_from(lock.l_pid).ok());
        }
    }
    Ok(None)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW).open(path)
}

/// A lock of the bytes from `start` on: the numbers of daemons. A length of 0 reaches to the end.
fn range(kind: libc::c_int, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    const PATH: &str = "COMPCACHE_TEST_LIFETIME";

    /// The other process of the next test: holds a lock until its standard input ends.
    #[test]
    #[ignore = "the next one runs it"]
    fn hold() {
        let path = std::env::var_os(PATH).expect("a path");
        let _lifetime = Lifetime::begin(path.as_ref(), 4711).unwrap();
        println!("held");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn mounts_of_another_daemon_are_seen_and_those_of_this_one_are_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(of_others(file.path(), 4711).unwrap(), None);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "worker::lifetime::tests::hold",
                "--nocapture",
                "--ignored",
            ])
            .env(PATH, file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut text = String::new();
        while !text.contains("held\n") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).unwrap(), 1, "{text}");
            text.push(byte[0].into());
        }
        assert_eq!(of_others(file.path(), 4711).unwrap(), None);
        for other in [1, 4710, 4712] {
            assert_eq!(of_others(file.path(), other).unwrap(), Some(child.id()));
        }
        drop(child.stdin.take());
        output.read_to_end(&mut Vec::new()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(of_others(file.path(), 1).unwrap(), None);
    }
}
