//! Directories: listing them.

use std::ffi::OsStr;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use fuser::{FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo};

use super::open_directory::{Item, OpenDirectory};
use super::passthrough::Passthrough;
use crate::descriptors::Holder;
use crate::identity::Caller;
use crate::inode::Inode;
use crate::inode::stat::{bare_attributes, kind, stat};

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
        let opened = OpenDirectory::new(inode, fd, charge);
        let (handle, _) = self.directories.insert(opened);
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
