//! Starts a daemon for a client that found none.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;

use crate::args::{ALREADY_RUNNING, MESSAGE_PREFIX};
use crate::runtime_dir::{Directory, LOG_NAME, RuntimeDirError};

/// Lines of the log that an error shows if the daemon gave no message.
const LOG_TAIL: usize = 4;
/// A log of more bytes is begun again.
const LOG_MAX: u64 = 1 << 20;

/// Why a daemon did not come up.
#[derive(Debug)]
pub(super) enum SpawnError {
    /// Another one has the runtime directory.
    AlreadyRunning(String),
    /// Anything else.
    Failed(String),
}

/// Starts this program as a daemon and waits until its socket is ready.
///
/// The daemon's standard output is a pipe: it writes a byte there when it is ready. The end
/// of the pipe without it means that it exited; its log says why.
pub(super) fn daemon(runtime_dir: &Path, dev_dir: &Path) -> Result<(), SpawnError> {
    let failed = |what: &str, e: io::Error| SpawnError::Failed(format!("{what}: {e}"));
    let program = std::env::current_exe().map_err(|e| failed("path of this program", e))?;
    let refused = |e: RuntimeDirError| SpawnError::Failed(e.to_string());
    let directory = Directory::make(runtime_dir).map_err(refused)?;
    let log = directory.file(LOG_NAME, OFlags::APPEND).map_err(refused)?;
    let log_path = directory.path_of(LOG_NAME);
    let log_failed = |e| failed(&format!("log file {}", log_path.display()), e);
    let begin = begin(&log).map_err(log_failed)?;
    let mut child = Command::new(&program)
        // By the name of its file it might be another program: mount.compcache.
        .arg0("compcache")
        .arg("daemon")
        .args(["--exit-when-idle", "--detached", "--runtime-dir"])
        .arg(runtime_dir)
        .arg("--dev-dir")
        .arg(dev_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().map_err(log_failed)?)
        .spawn()
        .map_err(|e| failed(&program.display().to_string(), e))?;
    if is_ready(&mut child) {
        return Ok(());
    }
    let status = child.wait().map_err(|e| failed("waiting for it", e))?;
    let why = match complaint(log, begin) {
        Some(complaint) => complaint,
        None => format!(
            "it ended with {status} and left nothing in {}",
            log_path.display()
        ),
    };
    match status.code() {
        Some(code) if code == i32::from(ALREADY_RUNNING) => Err(SpawnError::AlreadyRunning(why)),
        _ => Err(SpawnError::Failed(why)),
    }
}

/// Waits until the daemon is ready (true) or has closed its end of the pipe (false).
fn is_ready(child: &mut Child) -> bool {
    let Some(mut pipe) = child.stdout.take() else {
        return false;
    };
    let mut byte = [0];
    pipe.read_exact(&mut byte).is_ok()
}

/// Where a new daemon's part of the log begins.
fn begin(log: &File) -> io::Result<u64> {
    let length = log.metadata()?.len();
    if length <= LOG_MAX {
        return Ok(length);
    }
    log.set_len(0)?;
    Ok(0)
}

/// The daemon's message from its part of the log, else the last lines of that, in one line.
fn complaint(mut log: File, begin: u64) -> Option<String> {
    let mut text = Vec::new();
    log.seek(SeekFrom::Start(begin)).ok()?;
    log.take(LOG_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    if let Some(message) = text
        .lines()
        .find_map(|line| line.strip_prefix(MESSAGE_PREFIX))
    {
        return Some(message.to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join(" | ");
    (!tail.is_empty()).then_some(tail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Opens the log of a directory as a new daemon's client does.
    fn open_log(dir: &Path) -> (File, u64) {
        let directory = Directory::make(dir).unwrap();
        let log = directory.file(LOG_NAME, OFlags::APPEND).unwrap();
        let begin = begin(&log).unwrap();
        (log, begin)
    }

    #[test]
    fn the_complaint_is_the_new_message_or_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, begin) = open_log(dir.path());
        assert_eq!(complaint(log.try_clone().unwrap(), begin), None);
        writeln!(log, "INFO a\nINFO b\nINFO c\nINFO d\nINFO e").unwrap();
        assert_eq!(
            complaint(log, begin).unwrap(),
            "INFO b | INFO c | INFO d | INFO e"
        );
        let (mut log, begin) = open_log(dir.path());
        writeln!(log, "WARN x\ncompcached: no such thing").unwrap();
        assert_eq!(complaint(log, begin).unwrap(), "no such thing");
    }

    #[test]
    fn a_long_log_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_NAME);
        File::create(&path).unwrap().set_len(LOG_MAX + 1).unwrap();
        assert_eq!(open_log(dir.path()).1, 0);
        assert_eq!(path.metadata().unwrap().len(), 0);
    }
}
