//! A directory that the kernel has open, and how far it was listed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{RawDir, SeekFrom};

use crate::descriptors::Charge;
use crate::inode::Inode;

/// Bytes of entries that are read from SOURCE at once.
const BUFFER: usize = 32 << 10;

/// A directory that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) inode: Arc<Inode>,
    /// Held over SOURCE's answers, and the look-up of each entry: outside of all locks of inodes and contents.
    pub(super) stream: Mutex<Stream>,
    _charge: Charge,
}

impl OpenDirectory {
    /// Of a descriptor that has not been read from.
    pub(super) fn new(inode: Arc<Inode>, fd: OwnedFd, charge: Charge) -> Self {
        OpenDirectory {
            inode,
            stream: Mutex::new(Stream {
                fd,
                ahead: VecDeque::new(),
                at: 0,
            }),
            _charge: charge,
        }
    }
}

/// Where the listing of a directory stands. Offsets are SOURCE's own, so that they stay good while
/// entries come and go.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) fd: OwnedFd,
    /// Entries that were read and not handed out.
    ahead: VecDeque<Item>,
    /// Offset of the first of them, or of the descriptor.
    at: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) ino: u64,
    /// Offset of the entry after it.
    pub(super) next: u64,
    pub(super) kind: rustix::fs::FileType,
    name: Box<[u8]>,
}

impl Item {
    pub(super) fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    pub(super) fn is_dot(&self) -> bool {
        matches!(&*self.name, b"." | b"..")
    }
}

impl Stream {
    /// The next entry, which stays there until [`Stream::advance`]; `None` at the end.
    pub(super) fn peek(&mut self) -> io::Result<Option<&Item>> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(self.ahead.front())
    }

    /// Goes past the entry that was looked at.
    pub(super) fn advance(&mut self) {
        if let Some(item) = self.ahead.pop_front() {
            self.at = item.next;
        }
    }

    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        if offset != self.at || offset == 0 {
            self.ahead.clear();
            rustix::fs::seek(&self.fd, SeekFrom::Start(offset))?;
            self.at = offset;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            self.ahead.push_back(Item {
                ino: entry.ino(),
                next: entry.next_entry_cookie(),
                kind: entry.file_type(),
                name: entry.file_name().to_bytes().into(),
            });
            if entries.is_buffer_empty() {
                break;
            }
        }
        Ok(())
    }
}
