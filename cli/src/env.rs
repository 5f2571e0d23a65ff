//! Where this program finds the daemon, and what machine it runs on.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;

use compcache_device::kernel::Root;
use compcache_host::meminfo::Memory;
use compcache_host::printable::Printable;
use compcached::args::{DEFAULT_DEV_DIR, DEFAULT_RUNTIME_DIR};
use compcached::runtime_dir::{self, SOCKET_NAME};
use compcached::types::DriverChoice;
use compcached::{Client, ClientError};

use crate::error::CliError;
use crate::progress;

/// The two directories that daemon and clients must agree on, and where the kernel driver is.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The daemon's runtime directory, with its control socket.
    pub runtime_dir: PathBuf,
    /// The directory of device nodes.
    pub dev_dir: PathBuf,
    /// Which driver the user wants; `None`: what the configuration says.
    pub choice: Option<DriverChoice>,
    /// Where the kernel driver is looked for.
    pub kernel: Root,
    /// Whether the user chose the runtime directory.
    chosen: bool,
}

impl Places {
    /// The options, else `COMPCACHE_RUNTIME_DIR` and `COMPCACHE_DEV_DIR`, else the defaults.
    #[must_use]
    pub(crate) fn new(runtime_dir: Option<PathBuf>, dev_dir: Option<PathBuf>) -> Self {
        let choose = |option: Option<PathBuf>, variable: &str| {
            option.or_else(|| {
                std::env::var_os(variable)
                    .filter(|v| !v.is_empty())
                    .map(PathBuf::from)
            })
        };
        let runtime_dir = choose(runtime_dir, "COMPCACHE_RUNTIME_DIR");
        Places {
            chosen: runtime_dir.is_some(),
            runtime_dir: runtime_dir.unwrap_or(DEFAULT_RUNTIME_DIR.into()),
            dev_dir: choose(dev_dir, "COMPCACHE_DEV_DIR").unwrap_or(DEFAULT_DEV_DIR.into()),
            choice: None,
            kernel: Root::default(),
        }
    }

    /// With the driver that the user wants.
    #[must_use]
    pub(crate) fn with_driver(self, choice: Option<DriverChoice>) -> Self {
        Places { choice, ..self }
    }

    /// Where a user without root has a daemon of their own, for mounts; unless another directory
    /// was chosen. Root's is the system's.
    #[must_use]
    pub(crate) fn of_user(mut self) -> Self {
        if !self.chosen {
            let uid = rustix::process::geteuid().as_raw();
            self.runtime_dir = runtime_dir::default_for(uid);
        }
        self
    }

    /// As [`Places::of_user`], if such a daemon has left its socket; otherwise these.
    #[must_use]
    pub(crate) fn of_user_if_there(self) -> Self {
        let own = self.clone().of_user();
        if own.runtime_dir.join(SOCKET_NAME).exists() {
            own
        } else {
            self
        }
    }

    /// Connects to the running daemon, or fails at once if there is none.
    ///
    /// # Errors
    /// [`CliError::Client`].
    pub(crate) fn connect_now(&self) -> Result<Client, CliError> {
        self.answering(Client::connect_now(&self.runtime_dir)?)
    }

    /// A connection on which the daemon has answered. Says what it waits for when that takes long.
    fn answering(&self, client: Client) -> Result<Client, CliError> {
        let runtime_dir = self.runtime_dir.clone();
        let socket = runtime_dir.join(SOCKET_NAME);
        let greet = move || client.greeted(&runtime_dir);
        let look = || {
            let socket = socket.display();
            Some(format!("waiting for the daemon at {socket} to answer"))
        };
        Ok(progress::wait(greet, look)??)
    }

    /// Connects to the running daemon, and starts one first, with the rights of this user, if there is none or it
    /// is about to exit.
    ///
    /// # Errors
    /// As [`Places::connect_now`].
    pub(crate) fn connect_or_spawn_as_user(&self) -> Result<Client, CliError> {
        match self.connect_now() {
            Err(CliError::Client(ClientError::NoDaemon(_) | ClientError::Disconnected)) => {
                Ok(Client::connect_or_spawn(&self.runtime_dir, &self.dev_dir)?)
            }
            result => result,
        }
    }

    /// Connects to the running daemon.
    ///
    /// # Errors
    /// [`CliError::Client`], among others if none is running.
    pub(crate) fn connect(&self) -> Result<Client, CliError> {
        self.answering(Client::connect(&self.runtime_dir)?)
    }

    /// Connects to the running daemon, and starts one first if there is none. `what` names the
    /// command in the message to a user who may not start one.
    ///
    /// # Errors
    /// [`CliError::NotRoot`] or [`CliError::Client`].
    pub(crate) fn connect_or_spawn(&self, what: &'static str) -> Result<Client, CliError> {
        if !rustix::process::geteuid().is_root() {
            return self.connect_now().map_err(|error| match error {
                CliError::Client(ClientError::NoDaemon(_)) => CliError::NotRoot(what),
                error => error,
            });
        }
        self.connect_or_spawn_as_user()
    }
}

/// The RAM.
///
/// # Errors
/// [`CliError::Io`] if the kernel does not say.
pub(crate) fn memory() -> Result<Memory, CliError> {
    Memory::now().map_err(|e| CliError::io("cannot read /proc/meminfo", e))
}

/// Prints to standard output. A reader that has gone (`| head`) is no error.
///
/// # Errors
/// [`CliError::Io`] if writing fails otherwise.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// Prints each of the daemon's warnings to standard error, as `PROGRAM: warning: …`, each on one line.
pub(crate) fn warn(program: &str, warnings: &[impl Display]) {
    for warning in warnings {
        complain(&format!("{program}: warning"), warning);
    }
}

/// Prints why something failed to standard error, as `PROGRAM: …` on one line.
pub(crate) fn complain(program: &str, error: &(impl Display + ?Sized)) {
    eprintln!("{program}: {}", Printable(error));
}
