//! The kernel driver, `ramzswap.ko`, as userspace sees it.
//!
//! If the driver is loaded, `/sys/block/ramzswapN` are its devices, with their [`attributes`] and
//! the [`ioctl`]s of the original; a [`KernelDevice`](crate::KernelDevice) is one of them. [`Root`]
//! says where to look, so that tests can show another tree, and [`presence`](Root::presence) whether
//! the driver is there, or could be loaded ([`module`]).

pub mod attributes;
mod backing;
pub mod ioctl;
mod lock;
pub mod module;
mod root;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::PathBuf;

pub use lock::Lock;
pub use root::{MAX_DEVICES, NAME, Root, number};

impl Root {
    /// Whether the driver is there, or could be.
    #[must_use]
    pub fn presence(&self) -> Presence {
        if self.is_loaded() {
            return Presence::Loaded {
                devices: self.numbers(),
            };
        }
        match module::find(self) {
            Some(file) => Presence::Loadable { file },
            None => Presence::Missing {
                release: self.release.clone(),
            },
        }
    }
}

/// Whether the driver is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is loaded.
    Loaded {
        /// The numbers of its devices.
        devices: Vec<u32>,
    },
    /// It is not loaded, but installed for this kernel.
    Loadable {
        /// The module.
        file: PathBuf,
    },
    /// It is not installed for this kernel.
    Missing {
        /// The kernel's release.
        release: String,
    },
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Presence::Loaded { devices } => write!(f, "loaded, {} device(s)", devices.len()),
            Presence::Loadable { file } => {
                write!(f, "not loaded, but installed: {}", file.display())
            }
            Presence::Missing { release } => {
                write!(f, "not loaded: module {NAME} not found for {release}")
            }
        }
    }
}
