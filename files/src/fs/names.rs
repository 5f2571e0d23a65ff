//! Names: looking them up, making, moving and removing them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use compcache_host::descriptor;
use fuser::{FileAttr, Generation, RenameFlags};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Statx};

use super::caller::make_as;
use super::freshness::Freshness;
use super::passthrough::Passthrough;
use crate::descriptors::{Held, Holder};
use crate::identity::Caller;
use crate::inode::Inode;
use crate::inode::node::Name;
use crate::inode::source::open_path;
use crate::inode::stat::{decode_device, key, stat, stat_name};

/// A reply to a lookup.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) inode: Arc<Inode>,
    pub(super) attributes: FileAttr,
    pub(super) valid: std::time::Duration,
}

impl Entry {
    pub(super) fn generation(&self) -> Generation {
        Generation(u64::from(self.inode.generation))
    }
}

/// What stood under a name before it was removed or replaced.
struct Victim {
    fd: OwnedFd,
    before: Statx,
}

impl Passthrough {
    /// LOOKUP. An error ENOENT may be answered by "no such file, for a while".
    pub(super) fn lookup(&self, parent: u64, name: &OsStr) -> io::Result<Entry> {
        let directory = self.table.get(parent)?;
        let fd = directory.fd(&self.source)?;
        self.entry(parent, &fd, name)
    }

    /// The entry of `name` in the directory that `fd` is open on.
    pub(super) fn entry(&self, parent: u64, fd: impl AsFd, name: &OsStr) -> io::Result<Entry> {
        let fd = fd.as_fd();
        let found = stat_name(fd, Path::new(name))?;
        let key = key(&found);
        // If files have no time of birth, only the handle tells a new one with an old number.
        if (key.birth != 0 || !self.source.by_handle)
            && let Some(inode) = self.table.acquire(&key)
        {
            return Ok(self.entry_of(parent, name, inode, &found));
        }
        // What was found may have been replaced since: all that follows is of one file.
        let file = open_path(fd, name)?;
        let found = stat(&file)?;
        self.entry_of_file(parent, name, file, &found)
    }

    /// The entry of a file that the kernel may not know yet; `file` is open on it (`O_PATH`).
    pub(super) fn entry_of_file(
        &self,
        parent: u64,
        name: &OsStr,
        file: OwnedFd,
        found: &Statx,
    ) -> io::Result<Entry> {
        let key = key(found);
        let node = self.table.node(key.dev, key.ino);
        let place = self
            .source
            .place(file, key.dev, &self.descriptors)
            .inspect_err(|_| self.notices.too_many())?;
        let inode = Inode::new(key, node, u32::from(found.stx_mode), place);
        let (inode, gone) = self.table.insert(inode)?;
        if let Some(gone) = gone {
            self.contents.forget(gone);
        }
        if self.table.excess() > 0 {
            self.notices.too_many();
        }
        Ok(self.entry_of(parent, name, inode, found))
    }

    fn entry_of(&self, parent: u64, name: &OsStr, inode: Arc<Inode>, found: &Statx) -> Entry {
        if self.notices.by_name.load(Relaxed) {
            let name = name.as_bytes().into();
            *inode.name.lock() = Some(Box::new(Name { parent, name }));
        }
        let (attributes, valid) = self.observe(&inode, found);
        Entry {
            inode,
            attributes,
            valid,
        }
    }

    /// FORGET.
    pub(super) fn forget(&self, node: u64, count: u64) {
        if let Some(inode) = self.table.forget(node, count)
            && inode.unlinked.load(Relaxed)
            && inode.open().is_none()
        {
            self.contents.forget(inode.key);
        }
    }

    /// For how long the kernel may believe that a name does not exist.
    pub(super) fn nothing(&self) -> std::time::Duration {
        self.freshness.of_nothing()
    }

    /// Makes `name` in `parent` by `make` in the caller's name.
    fn make(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        umask: u32,
        make: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<Entry> {
        let directory = self.table.get(parent)?;
        let fd = directory.fd(&self.source)?;
        {
            let _acting = make_as(caller, umask)?;
            make(fd.as_fd())?;
        }
        self.entry(parent, &fd, name)
    }

    /// MKDIR.
    pub(super) fn mkdir(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        umask: u32,
    ) -> io::Result<Entry> {
        self.make(caller, parent, name, umask, |fd| {
            Ok(rustix::fs::mkdirat(fd, name, permissions(mode))?)
        })
    }

    /// MKNOD: regular files, FIFOs, sockets, devices.
    pub(super) fn mknod(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        (mode, umask): (u32, u32),
        device: u32,
    ) -> io::Result<Entry> {
        self.make(caller, parent, name, umask, |fd| {
            let kind = FileType::from_raw_mode(mode);
            let device = decode_device(device);
            Ok(rustix::fs::mknodat(
                fd,
                name,
                kind,
                permissions(mode),
                device,
            )?)
        })
    }

    /// SYMLINK.
    pub(super) fn symlink(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        target: &Path,
    ) -> io::Result<Entry> {
        self.make(caller, parent, name, 0, |fd| {
            Ok(rustix::fs::symlinkat(target, fd, name)?)
        })
    }

    /// READLINK.
    pub(super) fn readlink(&self, node: u64) -> io::Result<Vec<u8>> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        Ok(rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes())
    }

    /// LINK.
    pub(super) fn link(
        &self,
        caller: Caller,
        node: u64,
        parent: u64,
        name: &OsStr,
    ) -> io::Result<Entry> {
        let inode = self.table.get(node)?;
        let directory = self.table.get(parent)?;
        let (from, to) = (inode.fd(&self.source)?, directory.fd(&self.source)?);
        self.keeping_stamp(&inode, &from, || {
            let path = descriptor::path(&from);
            let _acting = caller.act()?;
            Ok(rustix::fs::linkat(
                CWD,
                path,
                &to,
                name,
                AtFlags::SYMLINK_FOLLOW,
            )?)
        })?;
        inode.unlinked.store(false, Relaxed);
        self.entry(parent, &to, name)
    }

    /// UNLINK and RMDIR.
    pub(super) fn remove(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        flags: AtFlags,
    ) -> io::Result<()> {
        let directory = self.table.get(parent)?;
        let fd = directory.fd(&self.source)?;
        let doomed = self.doomed(&fd, name);
        {
            let _acting = caller.act()?;
            rustix::fs::unlinkat(&fd, name, flags)?;
        }
        if let Some(doomed) = doomed {
            self.removed(caller, doomed)?;
        }
        Ok(())
    }

    /// RENAME, with its flags.
    pub(super) fn rename(
        &self,
        caller: Caller,
        (parent, name): (u64, &OsStr),
        (new_parent, new_name): (u64, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let directory = self.table.get(parent)?;
        let new_directory = self.table.get(new_parent)?;
        let (from, to) = (directory.fd(&self.source)?, new_directory.fd(&self.source)?);
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        let mover = self.doomed(&from, name);
        let target = self.doomed(&to, new_name);
        {
            let _acting = caller.act()?;
            rustix::fs::renameat_with(&from, name, &to, new_name, flags)?;
        }
        // Both have new times. The target has lost a name unless the two were exchanged, which
        // its link count tells.
        for file in [mover, target].into_iter().flatten() {
            self.removed(caller, file)?;
        }
        Ok(())
    }

    /// What stands under a name, before that is changed; `None` if nothing does that matters.
    fn doomed(&self, directory: impl AsFd, name: &OsStr) -> Option<Victim> {
        let fd = open_path(directory, name).ok()?;
        let before = stat(&fd).ok()?;
        Some(Victim { fd, before })
    }

    /// A name of this file was removed or replaced, or it was moved.
    fn removed(&self, caller: Caller, doomed: Victim) -> io::Result<()> {
        let after = stat(&doomed.fd)?;
        let key = key(&after);
        let gone = after.stx_nlink == 0;
        match self.table.find(&key) {
            Some(inode) => {
                self.restamp(&inode, &doomed.before, &after);
                if gone {
                    // The kernel may still use it, without a name.
                    inode.unlinked.store(true, Relaxed);
                    match self.descriptors.take(Holder::User(caller.uid), 1) {
                        Ok(charge) => {
                            let held = Held::new(doomed.fd, charge);
                            inode.state.lock().pin = Some(Arc::new(held));
                        }
                        // It goes as soon as nobody has it open: ESTALE for what comes then.
                        Err(e) => tracing::debug!("a file without a name is not held: {e}"),
                    }
                    if self.table.find(&key).is_none() && inode.open().is_none() {
                        self.contents.forget(key);
                    }
                }
            }
            None if gone => self.contents.forget(key),
            None => {
                if let Some(content) = self.contents.existing(key)
                    && content.revalidate(crate::inode::stat::stamp(&doomed.before))
                {
                    content.restamp(crate::inode::stat::stamp(&after));
                }
            }
        }
        Ok(())
    }

    /// Whether what the kernel has listed of the directory is still so; notes that it is about to
    /// list it.
    pub(super) fn listing_is_known(&self, inode: &Inode, found: &Statx) -> bool {
        let mut stamp = crate::inode::stat::stamp(found);
        stamp.size = 0;
        let digest = crate::inode::stat::digest(stamp);
        let known = inode.seen() == digest;
        inode.set_seen(if Freshness::is_unambiguous(found) {
            digest
        } else {
            0
        });
        known
    }
}

/// The permission bits of a mode, with set-user-id and the like.
pub(super) fn permissions(mode: u32) -> Mode {
    Mode::from_bits_retain(mode & 0o7777)
}
