//! The inodes that the kernel knows of.

pub(crate) mod handle;
pub(crate) mod known;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod source;
pub(crate) mod stat;
pub(crate) mod table;

pub(crate) use node::{Descriptors, FMODE_EXEC, Inode, OF_FILE, Open, Openers};
pub(crate) use source::Source;
pub(crate) use table::Table;
