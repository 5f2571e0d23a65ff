//! A FUSE file system of a single regular file: the disk.
//!
//! This speaks the kernel's protocol (`include/uapi/linux/fuse.h`, version 7.31 and later)
//! over `/dev/fuse` directly. A disk needs a dozen of its requests, and to serve them without
//! an allocation or a copy it must decide where in memory a request's data lies, which no
//! library lets it do.

mod abi;
mod buffer;
mod mount;
mod server;

pub(crate) use mount::FSTYPE;
pub(crate) use server::Server;

/// Most bytes of data in one request.
const MAX_IO: usize = 1 << 20;
