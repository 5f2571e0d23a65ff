//! Which file it is.

/// Which file it is, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number there.
    pub ino: u64,
    /// When it was made, in nanoseconds since 1970, or 0 if the file system does not say:
    /// inode numbers are used again.
    pub birth: i128,
}
