//! Where the file of an inode is.

use super::handle::Handle;
use crate::descriptors::Held;

/// How the file of an inode is found again.
#[derive(Debug)]
pub(crate) enum Place {
    /// By its handle.
    Handle(Handle),
    /// By an `O_PATH` descriptor.
    Fd(Box<Held>),
    /// It is the directory that is shown.
    Root,
}
