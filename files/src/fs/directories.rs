//! Directories: listing them.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fuser::{FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo};
use parking_lot::Mutex;
use rustix::fs::{RawDir, SeekFrom};

use super::Passthrough;
use crate::descriptors::{Charge, Holder};
use crate::identity::Caller;
use crate::inode::Inode;
use crate::inode::stat::{bare_attributes, kind, stat};

/// Bytes of entries that are read from SOURCE at once.
const BUFFER: usize = 32 << 10;

/// A directory that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    inode: Arc<Inode>,
    /// Held over SOURCE's answers, and the look-up of each entry: outside of all locks of inodes and contents.
    stream: Mutex<Stream>,
    _charge: Charge,
}

/// Where the listing of a directory stands. Offsets are SOURCE's own, so that they stay good while
/// entries come and go.
#[derive(Debug)]
struct Stream {
    fd: OwnedFd,
    /// Entries that were read and not handed out.
    ahead: VecDeque<Item>,
    /// Offset of the first of them, or of the descriptor.
    at: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
struct Item {
    ino: u64,
    /// Offset of the entry after it.
    next: u64,
    kind: rustix::fs::FileType,
    name: Box<[u8]>,
}

impl Item {
    fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    fn is_dot(&self) -> bool {
        matches!(&*self.name, b"." | b"..")
    }
}

impl Stream {
    /// The next entry, which stays there until [`Stream::advance`]; `None` at the end.
    fn peek(&mut self) -> io::Result<Option<&Item>> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(self.ahead.front())
    }

    /// Goes past the entry that was looked at.
    fn advance(&mut self) {
        if let Some(item) = self.ahead.pop_front() {
            self.at = item.next;
        }
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
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

impl Passthrough {
    /// OPENDIR. The kernel may keep the listing, and still has the one from before if that is
    /// right.
    pub(super) fn opendir(
        &self,
        caller: Caller,
        node: u64,
    ) -> io::Result<(FileHandle, FopenFlags)> {
        let inode = self.table.get(node)?;
        let charge = self.descriptors.take(Holder::User(caller.uid), 1)?;
        let fd = inode.open_file(&self.source, caller, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let found = stat(&fd)?;
        self.check_rights(caller, &inode, &found)?;
        let mut flags = FopenFlags::empty();
        if !self.strict {
            flags |= FopenFlags::FOPEN_CACHE_DIR;
            let known = self.listing_is_known(&inode, &found);
            flags.set(FopenFlags::FOPEN_KEEP_CACHE, known);
        }
        inode.open_directories.fetch_add(1, Relaxed);
        let stream = Mutex::new(Stream {
            fd,
            ahead: VecDeque::new(),
            at: 0,
        });
        let (handle, _) = self.directories.insert(OpenDirectory {
            inode,
            stream,
            _charge: charge,
        });
        Ok((handle, flags))
    }

    /// RELEASEDIR.
    pub(super) fn releasedir(&self, handle: FileHandle) {
        if let Some(directory) = self.directories.remove(handle) {
            directory.inode.open_directories.fetch_sub(1, Relaxed);
        }
    }

    /// FSYNCDIR.
    pub(super) fn fsyncdir(&self, handle: FileHandle, data_only: bool) -> io::Result<()> {
        let directory = self.directories.get(handle)?;
        let stream = directory.stream.lock();
        if data_only {
            rustix::fs::fdatasync(&stream.fd)?;
        } else {
            rustix::fs::fsync(&stream.fd)?;
        }
        Ok(())
    }

    /// READDIR. `add` takes an entry (node, offset after it, type, name), and says whether there
    /// was no room for it.
    pub(super) fn readdir(
        &self,
        handle: FileHandle,
        offset: u64,
        mut add: impl FnMut(INodeNo, u64, FileType, &OsStr) -> bool,
    ) -> io::Result<()> {
        let directory = self.directories.get(handle)?;
        let mut stream = directory.stream.lock();
        stream.seek(offset)?;
        while let Some(item) = stream.peek()? {
            let node = self.shown(&directory.inode, item);
            let kind = kind(item.kind.as_raw_mode());
            if add(INodeNo(node), item.next, kind, item.name()) {
                break;
            }
            stream.advance();
        }
        Ok(())
    }

    /// READDIRPLUS: with attributes, as LOOKUP gives them. `add` takes an entry (offset after it,
    /// name, time for which it is good, attributes, generation), and says whether there was no
    /// room for it.
    pub(super) fn readdirplus(
        &self,
        handle: FileHandle,
        offset: u64,
        mut add: impl FnMut(u64, &OsStr, &std::time::Duration, &FileAttr, Generation) -> bool,
    ) -> io::Result<()> {
        let directory = self.directories.get(handle)?;
        let mut stream = directory.stream.lock();
        stream.seek(offset)?;
        while let Some(item) = stream.peek()? {
            let item = item.clone();
            let full = if item.is_dot() {
                // The kernel takes these two for their names only.
                // `.` and `..`, of which the kernel wants the number and the type.
                let node = self.shown(&directory.inode, &item);
                let attributes = bare_attributes(node, FileType::Directory);
                let valid = std::time::Duration::ZERO;
                add(item.next, item.name(), &valid, &attributes, Generation(0))
            } else {
                match self.entry(directory.inode.node, &stream.fd, item.name()) {
                    Ok(entry) => {
                        let node = entry.inode.node;
                        let full = add(
                            item.next,
                            item.name(),
                            &entry.valid,
                            &entry.attributes,
                            entry.generation(),
                        );
                        if full {
                            self.forget(node, 1);
                        }
                        full
                    }
                    // It was removed after it was listed.
                    Err(e) if e.raw_os_error() == Some(libc::ENOENT) => false,
                    Err(e) => return Err(e),
                }
            };
            if full {
                break;
            }
            stream.advance();
        }
        Ok(())
    }

    /// The inode number that programs see.
    fn shown(&self, directory: &Inode, item: &Item) -> u64 {
        let node = self.table.node(directory.key.dev, item.ino);
        if node == crate::inode::table::ROOT {
            item.ino
        } else {
            node
        }
    }
}
