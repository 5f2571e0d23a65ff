//! Where the file of an inode is.

use std::os::fd::OwnedFd;

use super::handle::Handle;

/// How the file of an inode is found again.
#[derive(Debug)]
pub(crate) enum Place {
    /// By its handle.
    Handle(Handle),
    /// By an `O_PATH` descriptor.
    Fd(OwnedFd),
    /// It is the directory that is shown.
    Root,
}
