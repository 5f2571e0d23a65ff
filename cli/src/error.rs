//! Why a command failed, and the exit status that says so.

use std::io;

use compcache_device::DeviceError;
use compcached::ClientError;
use compcached::config::ConfigError;
use compcached::driver::NoKernelDriver;
use compcached::mounts::paths::PathError;
use compcached::protocol::Refusal;
use compcached::size::SizeError;

use crate::cgroup::CgroupError;
use crate::child::SpawnError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The daemon is not there, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A device of the kernel driver refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel driver was requested and is not there.
    #[error(transparent)]
    NoKernelDriver(#[from] NoKernelDriver),
    /// The configuration, which says what serves devices.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon answered a request with what is no answer to it.
    #[error("the daemon gave an answer that does not fit the request: is it of another version?")]
    Answer,
    /// No cgroup for the program.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The program did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A size that can't be used on this machine.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Needs rights that this user does not have.
    #[error("{0} needs root: run it with sudo, or as root")]
    NotRoot(&'static str),
    /// The command line is wrong in a way that its definition can't express.
    #[error("{0}")]
    Usage(String),
    /// A path that can't be mounted, or mounted at.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Neither a device nor a mount.
    #[error(
        "{name:?}: no such device or mount: use {dev_dir}/ramzswapN, with N from 0 on, or a path \
         that `compcache mount` lists"
    )]
    NoSuchThing {
        /// As the user wrote it.
        name: String,
        /// Where devices are.
        dev_dir: String,
    },
    /// A device that is not there.
    #[error("{name:?}: no such device: use {dev_dir}/ramzswapN, with N from 0 on")]
    NoSuchDevice {
        /// As the user wrote it.
        name: String,
        /// Where devices are.
        dev_dir: String,
    },
    /// A device that has nothing to show yet.
    #[error("{0} is not initialised, so it has no statistics: initialise it first with --init")]
    NotInitialised(String),
    /// A call of the system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

impl From<DeviceError> for CliError {
    fn from(error: DeviceError) -> Self {
        CliError::Refused(error.into())
    }
}

impl CliError {
    /// A failed system call, with what it was for.
    pub(crate) fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        CliError::Io {
            doing: doing.into(),
            source: source.into(),
        }
    }
}
