//! A FUSE file system of a single regular file: the disk.
//!
//! This speaks the kernel's protocol (`include/uapi/linux/fuse.h`, version 7.31 and later)
//! directly, by reading and writing `/dev/fuse` ([`classic`]) or by [`uring`]. A disk needs a
//! dozen of its requests, and to serve them without an allocation or a copy it must decide
//! where in memory a request's data lies, which no library lets it do.

mod abi;
mod buffer;
mod classic;
mod handler;
mod mount;
mod offline;
mod server;
mod serving;
mod uring;

pub(crate) use mount::FSTYPE;
pub use offline::Offline;
pub(crate) use server::{Job, Server};
pub(crate) use uring::parameter;
