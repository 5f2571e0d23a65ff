//! What a user should know although it is no error.

use std::path::PathBuf;

use compcache_engine::disk::sizes::SizeWarning;
use compcache_host::memory::NotLocked;
use compcache_host::overcommit::StrictOvercommit;
use compcache_host::zswap::ZswapOn;

/// Something that works otherwise than a user may expect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A size that is not taken as it was set, or is large.
    #[error(transparent)]
    Size(#[from] SizeWarning),
    /// A change of a device that is not in use.
    #[error(
        "ramzswap{number} is not initialised: what was set applies when it is (`compcache swap on \
         ramzswap{number}`)"
    )]
    NotInUse {
        /// The device's number.
        number: u32,
    },
    /// A slot table that is too large to be made resident beforehand.
    #[error(
        "the slot table ({} kB) is more than 1/16 of the RAM: it is not made resident beforehand, \
         so that first writes may have to wait for memory", .bytes / 1024
    )]
    SlotTableNotResident {
        /// The size of the table in bytes.
        bytes: u64,
    },
    /// A block device as backing swap that everybody may open.
    #[error(
        "backing swap {}: its mode is {mode:04o}, so that others can read or change what programs \
         have in it: keep it for root and its group (chmod 660)", .path.display()
    )]
    BackingExposed {
        /// The backing swap.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Encryption was asked for, and there is nothing that it could encrypt.
    #[error(
        "backing encryption 'on' has no effect without a backing swap: pages stay in memory; give \
         a backing swap, or leave it out"
    )]
    NothingToEncrypt,
    /// Memory that may itself be swapped.
    #[error(transparent)]
    NotLocked(#[from] NotLocked),
    /// Memory may be refused although some is free.
    #[error(transparent)]
    StrictOvercommit(#[from] StrictOvercommit),
    /// Pages are compressed before they reach the device.
    #[error(transparent)]
    Zswap(#[from] ZswapOn),
    /// The faster channel to the kernel cannot be used.
    #[error("requests come by the classic FUSE channel, which is slower than io_uring: {reason}")]
    ClassicChannel {
        /// Why.
        reason: String,
    },
}
