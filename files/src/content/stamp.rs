//! What tells that a file's content was changed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// What tells that a file's content was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Last modification, in nanoseconds since 1970.
    pub mtime: i128,
    /// Last change of the inode, in nanoseconds since 1970.
    pub ctime: i128,
}

/// What SOURCE says of a file.
pub(super) fn stamp_of(file: &File) -> io::Result<Stamp> {
    let found = file.metadata()?;
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    Ok(Stamp {
        size: found.len(),
        mtime: ns(found.mtime(), found.mtime_nsec()),
        ctime: ns(found.ctime(), found.ctime_nsec()),
    })
}
