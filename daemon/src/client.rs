//! The client's end of the control socket.

mod spawn;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use spawn::SpawnError;

use crate::protocol::{self, ProtocolError, Refusal, Request, Response};
use crate::runtime_dir::{Directory, RuntimeDirError, SOCKET_NAME};

/// How long [`Client::connect`] keeps trying: the historic scripts start the daemon in the
/// background and call `rzscontrol` at once.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// How long [`Client::connect_or_spawn`] waits for a daemon that neither serves nor has gone.
const SPAWN_PATIENCE: Duration = Duration::from_secs(10);
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
    /// [`ClientError::RuntimeDir`] if the daemon there need be neither this user's nor root's.
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
            match Client::connect_now(runtime_dir).and_then(Client::greeted) {
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

    /// This connection, once the daemon has answered on it: a daemon that is about to exit
    /// does not answer, one that answers does not exit before the connection ends.
    fn greeted(mut self) -> Result<Client, ClientError> {
        match self.request(&Request::Status { device: None }) {
            Ok(_) => Ok(self),
            Err(ClientError::Protocol(ProtocolError::Io(_) | ProtocolError::Truncated)) => {
                Err(ClientError::Disconnected)
            }
            Err(error) => Err(error),
        }
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
