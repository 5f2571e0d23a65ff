//! Why a device refused or failed.

use std::io;
use std::path::PathBuf;

use compcache_engine::codec::UnknownCodec;
use compcache_engine::disk::sizes::SizeError;
use compcache_engine::swap_header::HeaderError;
use compcache_host::memory::MemoryError;
use compcache_host::remedy;

use crate::settings::{BackingEncryption, OutOfRange};

/// Why a request to a device was refused or failed. The device is then as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A size out of range, or against a rule.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A codec that this build does not have.
    #[error(transparent)]
    UnknownCodec(#[from] UnknownCodec),
    /// A codec that devices in userspace have and the kernel driver has not.
    #[error(
        "codec '{codec}' is not in the kernel driver, which has {known}: choose one of these, or \
         a device in userspace (--driver user)"
    )]
    NotInKernel {
        /// What was given.
        codec: String,
        /// What the driver has.
        known: String,
    },
    /// The kernel driver writes pages to the backing swap as they are.
    #[error(
        "the kernel driver does not encrypt its backing swap (backing encryption '{choice}'): give \
         'off' and put it on dm-crypt with a random key, or choose a device in userspace (--driver \
         user)"
    )]
    NoEncryptionInKernel {
        /// What was given.
        choice: BackingEncryption,
    },
    /// Neither a codec for cold pages nor `off`.
    #[error("recompress: {0}; or switch it off with 'off'")]
    RecompressCodec(UnknownCodec),
    /// When cold pages are recompressed, or in how much time, is not within its limits.
    #[error(transparent)]
    RecompressRange(#[from] OutOfRange),
    /// Initialised twice, or configured after it was initialised.
    #[error("device ramzswap{number} is already initialised: reset it first to {action}")]
    AlreadyInitialised {
        /// The device's number.
        number: u32,
        /// The requested action.
        action: &'static str,
    },
    /// Not initialised yet.
    #[error("device ramzswap{number} is not initialised: initialise it first (--init)")]
    NotInitialised {
        /// The device's number.
        number: u32,
    },
    /// Nobody answers its requests any more.
    #[error(
        "device ramzswap{number} is not served any more: its FUSE connection was aborted \
         (/sys/fs/fuse/connections); what it holds cannot be read, and programs that need it are \
         killed: swap it off (`compcache swap off`), or reset it"
    )]
    NotServed {
        /// The device's number.
        number: u32,
    },
    /// In use as swap, or held open exclusively.
    #[error("device ramzswap{number} is busy: {reason}")]
    Busy {
        /// The device's number.
        number: u32,
        /// Who holds it, and what to do.
        reason: String,
    },
    /// The backing swap can't be opened, read or locked.
    #[error("backing swap {}: {action} failed: {source}", .path.display())]
    BackingIo {
        /// The backing swap.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The backing swap is not what a backing swap must be.
    #[error("backing swap {}: {reason}", .path.display())]
    BackingUnfit {
        /// The backing swap.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The backing swap's header is not one to use.
    #[error("backing swap {}: {source}", .path.display())]
    BackingHeader {
        /// The backing swap.
        path: PathBuf,
        /// What is wrong with its header.
        source: HeaderError,
    },
    /// The backing swap is in use.
    #[error("backing swap {} is in use by {user}: choose another, or free it first", .path.display())]
    BackingBusy {
        /// The backing swap.
        path: PathBuf,
        /// Who uses it.
        user: String,
    },
    /// Memory for the device can't be reserved.
    #[error("no memory for {what} ({bytes} bytes): {source}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How many bytes.
        bytes: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// A step of making or removing the block device failed.
    #[error("cannot {action}: {source}{}", remedy::suffix(.remedy.as_deref()))]
    System {
        /// What failed, with its object.
        action: String,
        /// The system's reason.
        source: io::Error,
        /// What to do, with a leading `; `, or empty.
        remedy: Option<String>,
    },
    /// The name of the device leads to another one.
    #[error(
        "{} is a link to {}, a device that is not this daemon's, perhaps another daemon's: choose \
         another number (a larger --num-devices) or another --dev-dir, or remove the link if \
         nobody needs it", .node.display(), .target.display()
    )]
    NodeTaken {
        /// The name.
        node: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A swap-off was not tried, because the kernel would kill a program to make room.
    #[error("device ramzswap{number} stays swapped on: {reason}")]
    SwapoffNoRoom {
        /// The device's number.
        number: u32,
        /// Where there is no room, and what to do.
        reason: String,
    },
    /// A swap-off was not tried, because it can't be determined whether the kernel would kill a program.
    #[error("device ramzswap{number} stays swapped on: {reason}")]
    SwapoffUnchecked {
        /// The device's number.
        number: u32,
        /// What can't be determined.
        reason: String,
    },
    /// `swapoff` failed for lack of memory.
    #[error(
        "swapoff of ramzswap{number} failed: its pages do not fit back into memory ({source}); \
         stop programs or add other swap, then try again; the device stays in use"
    )]
    SwapoffNoMemory {
        /// The device's number.
        number: u32,
        /// The system's reason.
        source: io::Error,
    },
}

impl From<MemoryError> for DeviceError {
    fn from(error: MemoryError) -> Self {
        DeviceError::Memory {
            what: error.what,
            bytes: error.bytes,
            source: error.source,
        }
    }
}

impl From<compcache_engine::fallible::NoMemory> for DeviceError {
    fn from(_: compcache_engine::fallible::NoMemory) -> Self {
        let refused = io::Error::from_raw_os_error(libc::ENOMEM);
        DeviceError::system(
            "get memory for a device's tables and workers",
            refused,
            None,
        )
    }
}

impl DeviceError {
    /// The error number that stands nearest to this error, for callers that speak errno.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            DeviceError::Size(_)
            | DeviceError::UnknownCodec(_)
            | DeviceError::NotInKernel { .. }
            | DeviceError::NoEncryptionInKernel { .. }
            | DeviceError::RecompressCodec(_)
            | DeviceError::RecompressRange(_)
            | DeviceError::BackingUnfit { .. }
            | DeviceError::BackingHeader { .. }
            | DeviceError::NotInitialised { .. } => libc::EINVAL,
            DeviceError::AlreadyInitialised { .. }
            | DeviceError::Busy { .. }
            | DeviceError::NodeTaken { .. }
            | DeviceError::BackingBusy { .. } => libc::EBUSY,
            DeviceError::SwapoffNoRoom { .. } => libc::ENOMEM,
            DeviceError::SwapoffUnchecked { .. } => libc::EIO,
            DeviceError::NotServed { .. } => libc::EIO,
            DeviceError::BackingIo { source, .. }
            | DeviceError::Memory { source, .. }
            | DeviceError::System { source, .. }
            | DeviceError::SwapoffNoMemory { source, .. } => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
        }
    }

    /// A failed system call, with what it was for and the remedy, if there is one.
    pub(crate) fn system<'a>(
        action: impl Into<String>,
        source: impl Into<io::Error>,
        remedy: impl Into<Option<&'a str>>,
    ) -> Self {
        DeviceError::System {
            action: action.into(),
            source: source.into(),
            remedy: remedy.into().map(str::to_owned),
        }
    }
}
