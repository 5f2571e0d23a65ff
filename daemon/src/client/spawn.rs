//! Starts a daemon for a client that found none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{ClientError, LOG_NAME};
use crate::runtime_dir::make_dir;

/// Lines of the log that an error shows.
const LOG_TAIL: usize = 4;

/// Starts this program as a daemon and waits until its socket is ready.
///
/// The daemon's standard output is a pipe: it writes a byte there when it is ready. The end
/// of the pipe without it means that it exited; its log says why.
pub(super) fn daemon(runtime_dir: &Path, dev_dir: &Path) -> Result<(), ClientError> {
    let error = |what: &str, e: io::Error| ClientError::Spawn(format!("{what}: {e}"));
    let program = std::env::current_exe().map_err(|e| error("path of this program", e))?;
    let log_path = runtime_dir.join(LOG_NAME);
    let log = open_log(runtime_dir, &log_path)
        .map_err(|e| error(&format!("log file {}", log_path.display()), e))?;
    let mut child = Command::new(&program)
        .arg("daemon")
        .args(["--exit-when-idle", "--detached", "--runtime-dir"])
        .arg(runtime_dir)
        .arg("--dev-dir")
        .arg(dev_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| error(&program.display().to_string(), e))?;
    let mut ready = [0];
    let pipe = child.stdout.take();
    match pipe.map_or(Ok(0), |mut pipe| pipe.read(&mut ready)) {
        Ok(1) => Ok(()),
        _ => {
            let status = child.wait().map_err(|e| error("waiting for it", e))?;
            let said = tail(&log_path);
            Err(ClientError::Spawn(if said.is_empty() {
                format!(
                    "it ended with {status} and left nothing in {}",
                    log_path.display()
                )
            } else {
                format!("{said} (log: {})", log_path.display())
            }))
        }
    }
}

/// A fresh log, in a runtime directory that is made if it is not there.
fn open_log(runtime_dir: &Path, log_path: &Path) -> io::Result<File> {
    make_dir(runtime_dir)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log_path)
}

/// The last lines of the log.
fn tail(log_path: &Path) -> String {
    let text = fs::read_to_string(log_path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}
