//! The client's end of the control socket.

mod spawn;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use spawn::SpawnError;

use crate::protocol::{self, ProtocolError, Refusal, Request, Response};
use crate::runtime_dir::{Directory, RuntimeDirError, SOCKET_NAME};

/// How long [`Client::connect`] keeps trying: the historic scripts start the daemon in the
/// background and call `rzscontrol` at once.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// How long [`Client::connect_or_spawn`] waits for a daemon that neither serves nor has gone.
const SPAWN_PATIENCE: Duration = Duration::from_secs(10);
/// How long a daemon may take to answer a client that has just connected.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Why a client got no proper answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens on the socket.
    #[error(
        "no daemon is running at {}: start it with `compcached --num-devices 1` or \
         `systemctl start compcached`", .0.display()
    )]
    NoDaemon(PathBuf),
    /// The socket or its directory is closed to this user.
    #[error(
        "not allowed to speak to the daemon at {}: run this as root, or as a member of the \
         group that the daemon's configuration names", .0.display()
    )]
    NotAllowed(PathBuf),
    /// The runtime directory, where somebody else could have put a socket.
    #[error(transparent)]
    RuntimeDir(RuntimeDirError),
    /// The socket could not be reached for another reason.
    #[error("cannot connect to the daemon at {}: {source}", .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A daemon could not be started.
    #[error("cannot start the daemon: {0}")]
    Spawn(String),
    /// The daemon's answer, if that is an error.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The daemon is there, but does nothing.
    #[error(
        "the daemon at {} (pid {pid}) has not answered for {seconds} s: if it has just been started, wait; \
         if it was stopped, have it go on (kill -CONT {pid}); its log may say more", .path.display()
    )]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// Its process id, `?` if the kernel does not say.
        pid: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The daemon closed the connection before it answered.
    #[error("the daemon closed the connection without an answer: see its log")]
    Disconnected,
    /// The connection failed or carried something else than the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// A connection to the daemon. A lease that was taken over it ends when it is dropped.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the daemon of `runtime_dir`. If nothing listens there yet, it tries
    /// again for up to one second.
    ///
    /// # Errors
    /// As [`Client::connect_now`].
    pub fn connect(runtime_dir: &Path) -> Result<Client, ClientError> {
        let start = Instant::now();
        loop {
            match Client::connect_now(runtime_dir) {
                Err(ClientError::NoDaemon(_)) if start.elapsed() < CONNECT_PATIENCE => {
                    thread::sleep(CONNECT_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Connects to the daemon of `runtime_dir`, or fails at once if nothing listens there.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`], [`ClientError::NotAllowed`] or [`ClientError::Connect`];
    /// [`ClientError::RuntimeDir`] if the daemon there need be neither this user's nor root's, and this user is not
    /// root.
    pub fn connect_now(runtime_dir: &Path) -> Result<Client, ClientError> {
        let path = runtime_dir.join(SOCKET_NAME);
        let directory = match Directory::open(runtime_dir) {
            Ok(directory) => directory,
            Err(RuntimeDirError::Io { source, .. }) => return Err(unreachable(path, source)),
            Err(error) => return Err(ClientError::RuntimeDir(error)),
        };
        match UnixStream::connect(directory.reach(SOCKET_NAME)) {
            Ok(stream) => Ok(Client { stream }),
            Err(source) => Err(unreachable(path, source)),
        }
    }

    /// Connects to the daemon of `runtime_dir`; if there is none, starts this very program
    /// again as `PROGRAM daemon --exit-when-idle` and connects to that. The new daemon runs
    /// in a session of its own and logs to [`LOG_NAME`](crate::runtime_dir::LOG_NAME) in `runtime_dir`. It does not exit
    /// while this connection lives.
    ///
    /// # Errors
    /// As [`Client::connect`], and [`ClientError::Spawn`] with the end of the daemon's log
    /// if it did not come up.
    pub fn connect_or_spawn(runtime_dir: &Path, dev_dir: &Path) -> Result<Client, ClientError> {
        let start = Instant::now();
        loop {
            let connected = Client::connect_now(runtime_dir);
            match connected.and_then(|client| client.greeted(runtime_dir)) {
                Err(ClientError::NoDaemon(_) | ClientError::Disconnected) => {}
                result => return result,
            }
            match spawn::daemon(runtime_dir, dev_dir) {
                Ok(()) => {}
                // Another client's daemon comes up, or the last one is about to exit.
                Err(SpawnError::AlreadyRunning(_)) if start.elapsed() < SPAWN_PATIENCE => {
                    thread::sleep(CONNECT_PAUSE);
                }
                Err(SpawnError::AlreadyRunning(why) | SpawnError::Failed(why)) => {
                    return Err(ClientError::Spawn(why));
                }
            }
        }
    }

    /// Sends a request and waits for its response, for as long as that takes (a swap-off may
    /// take minutes). A response is never [`Response::Error`]; that becomes
    /// [`ClientError::Refused`].
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Disconnected`] or [`ClientError::Protocol`].
    pub fn request(&mut self, request: &Request) -> Result<Response, ClientError> {
        // A daemon that refuses a connection answers before it has read the request, and
        // closes: its answer is then there although the request could not be sent.
        let sent = protocol::write(&mut self.stream, request);
        match (protocol::read(&mut self.stream), sent) {
            (Ok(Some(Response::Error(refusal))), _) => Err(refusal.into()),
            (Ok(Some(response)), Ok(())) => Ok(response),
            (Ok(None), Ok(())) => Err(ClientError::Disconnected),
            (Err(error), Ok(())) | (_, Err(error)) => Err(error.into()),
        }
    }

    /// This connection to the daemon of `runtime_dir`, once the daemon has answered on it, for which it has 30
    /// seconds: a daemon that is about to exit does not answer, one that answers does not exit before the
    /// connection ends.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`], [`ClientError::Disconnected`], and those of [`Client::request`].
    pub fn greeted(self, runtime_dir: &Path) -> Result<Client, ClientError> {
        self.greeted_within(ANSWER_PATIENCE, runtime_dir)
    }

    fn greeted_within(
        mut self,
        patience: Duration,
        runtime_dir: &Path,
    ) -> Result<Client, ClientError> {
        let failed = |e| ClientError::Protocol(ProtocolError::Io(e));
        self.stream
            .set_read_timeout(Some(patience))
            .map_err(failed)?;
        // Not the status, for which a device that is being swapped off is waited for.
        match self.request(&Request::Mounts) {
            Ok(_) => {}
            Err(ClientError::Protocol(ProtocolError::Io(e)))
                if e.kind() == io::ErrorKind::WouldBlock =>
            {
                return Err(ClientError::NoAnswer {
                    path: runtime_dir.join(SOCKET_NAME),
                    pid: self.daemon_pid(),
                    seconds: patience.as_secs(),
                });
            }
            Err(ClientError::Protocol(ProtocolError::Io(_) | ProtocolError::Truncated)) => {
                return Err(ClientError::Disconnected);
            }
            Err(error) => return Err(error),
        }
        self.stream.set_read_timeout(None).map_err(failed)?;
        Ok(self)
    }

    /// The process id of who listens, `?` if the kernel does not say.
    fn daemon_pid(&self) -> String {
        getsockopt(&self.stream, PeerCredentials)
            .map_or_else(|_| "?".to_owned(), |peer| peer.pid().to_string())
    }
}

/// Why the socket at `path` cannot be reached.
fn unreachable(path: PathBuf, source: io::Error) -> ClientError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoDaemon(path),
        io::ErrorKind::PermissionDenied => ClientError::NotAllowed(path),
        _ => ClientError::Connect { path, source },
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime_dir::RuntimeDir;

    use super::*;

    #[test]
    fn a_daemon_that_does_nothing_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let runtime_dir = RuntimeDir::claim(dir.path()).unwrap();
        let (_listener, _name) = runtime_dir.listen(None).unwrap();
        let client = Client::connect_now(dir.path()).unwrap();
        let error = client
            .greeted_within(Duration::from_millis(10), dir.path())
            .unwrap_err()
            .to_string();
        let socket = dir.path().join(SOCKET_NAME).display().to_string();
        let pid = format!("kill -CONT {}", std::process::id());
        for words in [&*socket, &pid, "has not answered"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
