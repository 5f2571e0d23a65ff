//! The file system that the kernel talks to: SOURCE passed through, its data by way of the cache.
//!
//! Each file tells one group of requests; [`dispatch`] is the table of all of them. The kernel
//! checks permissions (`default_permissions`), applies locks, and keeps names, attributes and
//! pages for as long as [`freshness`] tells it to.
//!
//! Not passed on: locks, which hold within the mount; ioctls; `O_TMPFILE`, which `fuser` 0.18 does
//! not know; sync(2), which Linux does not hand to such file systems (fsync it does).

mod attributes;
mod caller;
mod directories;
mod dispatch;
mod files;
pub(crate) mod freshness;
mod handles;
mod names;
pub(crate) mod notices;
mod open_directory;
mod open_file;
mod passthrough;
pub(crate) mod turns;
pub(crate) mod waiting;
mod xattrs;

pub use passthrough::RequestHook;

pub(crate) use dispatch::Service;
pub(crate) use passthrough::{Parts, Passthrough};
