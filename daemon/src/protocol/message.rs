//! Requests and responses.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::frame::{Kind, Message};
use super::mount::MountSpec;
use crate::types::{DeviceStatus, Driver, MountStatus, ParamsUpdate};

/// What a client asks of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The daemon's state and that of one device, or of all. Answer: [`Response::Status`].
    Status {
        /// The device's number; `None`: all.
        device: Option<u32>,
    },
    /// Sets parameters of a device that is not initialised, then initialises it if `init`.
    /// Either all of it happens or nothing. Answer: [`Response::Done`].
    Configure {
        /// The device's number.
        device: u32,
        /// The parameters to change; what is `None` stays.
        params: ParamsUpdate,
        /// Whether to initialise the device as well.
        init: bool,
    },
    /// Takes a device back to its state before it was initialised; all its pages are
    /// forgotten. Refused with `EBUSY` while it is swapped on. Answer: [`Response::Done`].
    Reset {
        /// The device's number.
        device: u32,
    },
    /// Changes parameters of a device that may be in use: the codec for new pages, and what
    /// becomes of cold ones. Either all of it happens or nothing. Answer: [`Response::Done`].
    Set {
        /// The device's number.
        device: u32,
        /// The parameters to change; what is `None` stays.
        params: ParamsUpdate,
    },
    /// Initialises a device (unless it is already) and swaps on it. Answer:
    /// [`Response::SwappedOn`].
    SwapOn {
        /// The device's number; `None`: the first that is not initialised.
        device: Option<u32>,
        /// Parameters to set first; refused if the device is initialised and any is given.
        params: ParamsUpdate,
        /// 0 to 32767; `None`: one above every active swap.
        priority: Option<i32>,
    },
    /// Swaps a device off and resets it. A device that other connections lease is not touched:
    /// `EBUSY` if it was named, a warning otherwise. Answer: [`Response::Done`].
    SwapOff {
        /// The device's number; `None`: every device that is swapped on.
        device: Option<u32>,
    },
    /// Swaps on a device for as long as this connection lives. Connections share one leased
    /// device; when the last of them is gone it is swapped off and reset. Answer:
    /// [`Response::SwappedOn`].
    Lease {
        /// Parameters of the leased device; ignored, with a warning, if there is one already.
        params: ParamsUpdate,
        /// Size in bytes of a device that is made for this, if `params` names none.
        default_size: Option<u64>,
        /// Whose device: the kernel driver's, which must be loaded, or the daemon's.
        driver: Driver,
    },
    /// Ends this connection's lease before the connection ends, so that the caller knows when
    /// it is over. Does nothing if there is none. Answer: [`Response::Done`].
    Release,
    /// Makes a mount. Answer: [`Response::Mounted`].
    Mount {
        /// The mount.
        spec: MountSpec,
    },
    /// Writes a mount's dirty pages out and unmounts it. Refused with `EBUSY` while it is in use,
    /// unless `lazy`. Answer: [`Response::Done`].
    Unmount {
        /// Where it is mounted.
        mountpoint: PathBuf,
        /// Take it out of the tree at once, and end it when it is not in use any more.
        lazy: bool,
    },
    /// The mounts of this daemon. Answer: [`Response::Mounts`].
    Mounts,
    /// Writes dirty pages out to the sources. Answer: [`Response::Done`].
    Sync {
        /// Those of the mount here; `None`: of all.
        mountpoint: Option<PathBuf>,
    },
    /// Unmounts all, swaps every device off, resets all, and ends the daemon. Answer:
    /// [`Response::Done`], sent when that has worked, just before the daemon exits.
    Shutdown {
        /// Exit even if a mount is in use or its source does not take dirty pages, or if the pages of a
        /// device could not be swapped back in. Loses data: processes whose pages are there are killed
        /// when they touch them.
        force: bool,
    },
}

impl Message for Request {
    const KIND: Kind = Kind::Request;
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// It was done.
    Done {
        /// What the user should know anyway, one sentence each.
        warnings: Vec<String>,
    },
    /// The state of the daemon and of the requested devices, in the order of their numbers.
    Status {
        /// The daemon.
        daemon: DaemonStatus,
        /// The devices.
        devices: Vec<DeviceStatus>,
    },
    /// A device takes swapped pages now.
    SwappedOn {
        /// The device's number.
        device: u32,
        /// The device node as shown to users, `/dev/ramzswapN`.
        node: PathBuf,
        /// The priority with which it was swapped on.
        priority: i32,
        /// What the user should know anyway, one sentence each.
        warnings: Vec<String>,
    },
    /// A directory is mounted.
    Mounted {
        /// The mount.
        mount: MountStatus,
        /// What the user should know anyway, one sentence each.
        warnings: Vec<String>,
    },
    /// The mounts of the daemon, in the order of their paths.
    Mounts {
        /// The mounts.
        mounts: Vec<MountStatus>,
        /// Most bytes for swap devices and mounts together.
        memory_limit: Option<u64>,
    },
    /// It was refused or failed, and nothing was changed.
    Error(Refusal),
}

impl Message for Response {
    const KIND: Kind = Kind::Response;
}

/// The daemon's own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonStatus {
    /// Version of the daemon, as in its `--version`.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// The process that serves the mounts, if there are any.
    pub mount_pid: Option<u32>,
    /// Number of devices it serves, initialised or not.
    pub num_devices: u32,
    /// Number of connections that hold a lease.
    pub leases: u32,
    /// The leases on a device of the kernel driver, if there are any.
    pub kernel_lease: Option<KernelLease>,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// What it could not set up at its start, and what is not as it should be on this machine now, one
    /// sentence each.
    pub warnings: Vec<String>,
}

/// A device of the kernel driver that is swapped on for as long as connections live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelLease {
    /// The device's number.
    pub device: u32,
    /// Number of connections that hold it; 0 while its pages do not fit back.
    pub holders: u32,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of error, for programs.
    pub code: ErrorCode,
    /// What is wrong, the limit and the remedy, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
        }
    }

    /// The answer to new requests while the daemon is shutting down.
    #[must_use]
    pub fn closing() -> Refusal {
        let message = "the daemon is shutting down: start it again, or wait until it has given up \
                       (its log says so)";
        Refusal::new(ErrorCode::Eshutdown, message)
    }

    /// All of these as one, with the code of the first; `None` if there are none.
    #[must_use]
    pub fn join(refusals: Vec<Refusal>) -> Option<Refusal> {
        let code = refusals.first()?.code;
        let messages: Vec<_> = refusals.into_iter().map(|r| r.message).collect();
        Some(Refusal::new(code, messages.join("; ")))
    }
}

/// Kinds of errors, named after errno values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ErrorCode {
    /// The caller may not do this.
    Eperm,
    /// A file that was named is not there.
    Enoent,
    /// Input or output failed.
    Eio,
    /// There is no such device, or the system lacks what a device needs.
    Enodev,
    /// The daemon's device node is taken, or a thing exists that must not.
    Eexist,
    /// A value is not allowed.
    Einval,
    /// In use: swapped on, initialised, or claimed by somebody else.
    Ebusy,
    /// Interrupted before it was done.
    Eintr,
    /// Not enough memory; pages do not fit back.
    Enomem,
    /// No room, or no free device.
    Enospc,
    /// The message does not follow the protocol.
    Eproto,
    /// The daemon is shutting down.
    Eshutdown,
}

impl ErrorCode {
    /// The code of an errno value; [`ErrorCode::Eio`] for those that have none.
    #[must_use]
    pub const fn from_errno(errno: i32) -> ErrorCode {
        match errno {
            libc::EPERM | libc::EACCES => ErrorCode::Eperm,
            libc::ENOENT => ErrorCode::Enoent,
            libc::ENODEV | libc::ENXIO => ErrorCode::Enodev,
            libc::EEXIST => ErrorCode::Eexist,
            libc::EINVAL => ErrorCode::Einval,
            libc::EBUSY => ErrorCode::Ebusy,
            libc::EINTR => ErrorCode::Eintr,
            libc::ENOMEM => ErrorCode::Enomem,
            libc::ENOSPC => ErrorCode::Enospc,
            _ => ErrorCode::Eio,
        }
    }

    /// The name of the errno value, as in `EBUSY`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::Eperm => "EPERM",
            ErrorCode::Enoent => "ENOENT",
            ErrorCode::Eio => "EIO",
            ErrorCode::Enodev => "ENODEV",
            ErrorCode::Eexist => "EEXIST",
            ErrorCode::Einval => "EINVAL",
            ErrorCode::Ebusy => "EBUSY",
            ErrorCode::Eintr => "EINTR",
            ErrorCode::Enomem => "ENOMEM",
            ErrorCode::Enospc => "ENOSPC",
            ErrorCode::Eproto => "EPROTO",
            ErrorCode::Eshutdown => "ESHUTDOWN",
        }
    }
}
