//! What files hold: their pages, from the cache or from SOURCE.
//!
//! [`Contents`] belongs to a mount, a [`Content`] to one file of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::FilesError;
use crate::options::MountOptions;
use crate::status::MountStatus;

/// Which file it is, for as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number there.
    pub ino: u64,
    /// When it was made, in nanoseconds since 1970, or 0 where the file system does not say:
    /// inode numbers are used again.
    pub birth: i128,
}

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

/// What one open file has been told of failed write-backs.
#[derive(Debug, Default)]
pub struct Reported(AtomicU64);

/// The contents of a mount's files.
#[derive(Debug)]
pub struct Contents {}

/// The content of one file.
#[derive(Debug)]
pub struct Content {}

impl Contents {
    /// Of a mount with these options, all empty.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn new(_options: &MountOptions) -> Result<Arc<Self>, FilesError> {
        Ok(Arc::new(Contents {}))
    }

    /// The content of a file that SOURCE says is as `stamp` tells. Pages held from before are
    /// kept where that matches.
    pub fn file(&self, _key: FileKey, _stamp: Stamp) -> Arc<Content> {
        Arc::new(Content {})
    }

    /// The content of a file of which something is held.
    pub fn existing(&self, _key: FileKey) -> Option<Arc<Content>> {
        None
    }

    /// The file has no name and is not open any more: what is held of it can go.
    pub fn forget(&self, _key: FileKey) {}

    /// Writes all dirty pages out to SOURCE.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Fills in what is counted here.
    pub fn status(&self, _status: &mut MountStatus) {}
}

impl Content {
    /// Tells what SOURCE says of the file now. Returns whether that is what was expected, so
    /// that the kernel may keep its pages; otherwise pages held here are dropped.
    pub fn revalidate(&self, _stamp: Stamp) -> bool {
        true
    }

    /// Corrects what SOURCE says of the file by what it is not told yet: size and mtime.
    pub fn correct(&self, _stamp: &mut Stamp) {}

    /// Reads up to `size` bytes at `offset`, and hands them to `reply` (fewer at the end of the
    /// file). `reply` is called exactly once; afterwards pages may be taken in.
    ///
    /// `source` is the file, open for reading.
    pub fn read(
        &self,
        source: &File,
        offset: u64,
        size: usize,
        reply: impl FnOnce(io::Result<&[u8]>),
    ) {
        let mut buffer = vec![0; size];
        let mut done = 0;
        while done < size {
            match source.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return reply(Err(e)),
            }
        }
        reply(Ok(&buffer[..done]));
    }

    /// Writes `data` at `offset`.
    ///
    /// `source` is the file, open for writing; it is kept for as long as pages are dirty.
    ///
    /// # Errors
    /// Those of writing to SOURCE, or ENOSPC on a `--ram` mount.
    pub fn write(&self, source: &Arc<File>, offset: u64, data: &[u8]) -> io::Result<()> {
        source.write_all_at(data, offset)
    }

    /// Does something to the file that changes bytes from `start` on, up to `end`: truncate
    /// (from the smaller size on), allocate, punch, copy into. Dirty pages of that range are
    /// written out before, and pages held of it dropped after. `change` gives back what SOURCE
    /// says of the file then.
    ///
    /// # Errors
    /// Those of `change` and of writing out.
    pub fn change(
        &self,
        _start: u64,
        _end: u64,
        change: impl FnOnce() -> io::Result<Stamp>,
    ) -> io::Result<()> {
        change().map(drop)
    }

    /// Attributes were changed through the mount, but no data: the stamp is a new one.
    pub fn restamp(&self, _stamp: Stamp) {}

    /// Writes dirty pages out to SOURCE: at close, and before SOURCE is asked for what depends
    /// on them.
    ///
    /// # Errors
    /// The failure of a write-out that `reported` was not told of yet. The pages stay dirty.
    pub fn flush(&self, _reported: &Reported) -> io::Result<()> {
        Ok(())
    }

    /// Writes dirty pages out and makes SOURCE store them.
    ///
    /// # Errors
    /// As [`Content::flush`], and those of fsync.
    pub fn fsync(&self, source: &File, data_only: bool, reported: &Reported) -> io::Result<()> {
        self.flush(reported)?;
        if data_only {
            source.sync_data()
        } else {
            source.sync_all()
        }
    }

    /// Finds data or a hole from `offset` on (lseek's SEEK_DATA and SEEK_HOLE).
    ///
    /// # Errors
    /// ENXIO past the end, and those of lseek.
    pub fn seek(&self, source: &File, offset: u64, hole: bool) -> io::Result<u64> {
        let from = if hole {
            rustix::fs::SeekFrom::Hole(offset)
        } else {
            rustix::fs::SeekFrom::Data(offset)
        };
        Ok(rustix::fs::seek(source, from)?)
    }
}
