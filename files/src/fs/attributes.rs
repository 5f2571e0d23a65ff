//! Attributes: what is reported to the kernel, and changes to it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use compcache_host::descriptor;
use fuser::{FileAttr, TimeOrNow};
use rustix::fs::{
    AtFlags, CWD, Gid, StatVfs, Statx, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
};

use super::names::permissions;
use super::passthrough::Passthrough;
use crate::content::{Change, Content, Stamp};
use crate::identity::Caller;
use crate::inode::Inode;
use crate::inode::stat::{attributes, digest, stamp, stat};

/// What SETATTR changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<TimeOrNow>,
    pub(super) mtime: Option<TimeOrNow>,
    /// The caller has the file open: to write, if the size changes.
    pub(super) by_handle: bool,
}

impl Passthrough {
    /// GETATTR.
    pub(super) fn getattr(&self, node: u64) -> io::Result<(FileAttr, Duration)> {
        let inode = self.table.get(node)?;
        let found = stat(inode.fd(&self.source)?)?;
        Ok(self.observe(&inode, &found))
    }

    /// What of a file is known to the cache, if there can be anything.
    pub(super) fn content(&self, inode: &Inode) -> Option<Arc<Content>> {
        if !inode.is_regular() {
            return None;
        }
        match inode.open() {
            Some(open) => Some(Arc::clone(&open.content)),
            None => self.contents.existing(inode.key),
        }
    }

    /// Takes note of what SOURCE says of a file, and makes the answer for the kernel of it. Pages
    /// that this shows to be stale are dropped.
    pub(super) fn observe(&self, inode: &Inode, found: &Statx) -> (FileAttr, Duration) {
        let mut now = stamp(found);
        if inode.is_regular() {
            match self.content(inode) {
                Some(content) => {
                    self.revalidate(inode, &content, now);
                    content.correct(&mut now);
                }
                None => {
                    if inode.seen() != 0 && inode.seen() != digest(now) {
                        self.stale(inode);
                    }
                }
            }
        }
        inode.known.lock().report(found, now);
        let node = if inode.node == crate::inode::table::ROOT {
            found.stx_ino
        } else {
            inode.node
        };
        let mut attributes = attributes(node, found, now);
        if self.size.is_some() && inode.is_regular() {
            // SOURCE holds no data. That all is allocated keeps programs from looking for holes.
            attributes.blocks = now.size.div_ceil(4096) * 8;
        }
        (attributes, self.freshness.of(found))
    }

    /// Whether the kernel knew who may open a file or directory, of which SOURCE says `found`.
    ///
    /// # Errors
    /// ESTALE if not: then the kernel looks the name up again, and judges again.
    pub(super) fn check_rights(
        &self,
        caller: Caller,
        inode: &Inode,
        found: &Statx,
    ) -> io::Result<()> {
        let judged = inode.known.lock().judge(found);
        let (node, pid) = (inode.node, caller.pid);
        if !self
            .sent_back
            .should_send(node, pid, judged, Instant::now())
        {
            return Ok(());
        }
        // For who opens it without a name.
        self.notices.stale_attributes(inode.node);
        Err(io::Error::from_raw_os_error(libc::ESTALE))
    }

    /// Whether SOURCE says of an open or cached file what was expected. If not, the kernel is told
    /// to drop its pages; until it has, the file is not opened with them.
    pub(super) fn revalidate(&self, inode: &Inode, content: &Content, now: Stamp) -> bool {
        let same = content.revalidate(now);
        if !same {
            self.stale(inode);
        }
        same
    }

    fn stale(&self, inode: &Inode) {
        inode.set_stale();
        // A strict mount's kernel finds out by itself, from the times in the answer; a notice that
        // came later would make it forget the next answer.
        if !self.strict {
            inode.known.lock().set_unsure();
            self.notices.stale(inode.node);
        }
    }

    /// The file was changed through the mount, but not its data: what was right before is right
    /// now.
    pub(super) fn restamp(&self, inode: &Inode, before: &Statx, after: &Statx) {
        let (before, after) = (stamp(before), stamp(after));
        if !inode.is_regular() || before == after {
            return;
        }
        match self.content(inode) {
            Some(content) => {
                if self.revalidate(inode, &content, before) {
                    content.restamp(after);
                }
            }
            None => {
                if inode.seen() == digest(before) {
                    inode.set_seen(digest(after));
                }
            }
        }
    }

    /// Does something to a file that changes its times, but not its data.
    pub(super) fn keeping_stamp<T>(
        &self,
        inode: &Inode,
        fd: impl AsFd,
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if !inode.is_regular() {
            return change();
        }
        let before = stat(fd.as_fd())?;
        let result = change();
        let after = stat(fd.as_fd())?;
        self.restamp(inode, &before, &after);
        result
    }

    /// SETATTR.
    pub(super) fn setattr(
        &self,
        caller: Caller,
        node: u64,
        changes: &Changes,
    ) -> io::Result<(FileAttr, Duration)> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        if let Some(size) = changes.size {
            self.truncate(caller, &inode, size, changes.by_handle)?;
        }
        if changes.mode.is_some()
            || changes.uid.is_some()
            || changes.gid.is_some()
            || changes.atime.is_some()
            || changes.mtime.is_some()
        {
            if (changes.atime.is_some() || changes.mtime.is_some())
                && let Some(content) = self.content(&inode)
            {
                // Or writing out what is dirty would change the times that are set now.
                content.write_dirty()?;
            }
            self.keeping_stamp(&inode, &fd, || {
                let _acting = caller.act()?;
                set(&fd, changes)
            })?;
        }
        let found = stat(&fd)?;
        Ok(self.observe(&inode, &found))
    }

    /// Sets a file's size. Unless it is `open` to the caller, SOURCE is asked whether they may write it.
    pub(super) fn truncate(
        &self,
        caller: Caller,
        inode: &Inode,
        size: u64,
        open: bool,
    ) -> io::Result<()> {
        if !inode.is_regular() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let opened = if open || caller.is_root() {
            inode.open()
        } else {
            None
        };
        let file = match opened.as_ref().and_then(|open| open.files.writer().ok()) {
            Some(file) => Arc::clone(file),
            None => {
                let fd = inode.open_file(&self.source, caller, libc::O_WRONLY)?;
                Arc::new(File::from(fd))
            }
        };
        self.drop_privileges(caller, &file)?;
        let change = || {
            let _acting = caller.act_on_open_file()?;
            file.set_len(size)?;
            Ok(stamp(&stat(&file)?))
        };
        match self.content(inode) {
            Some(content) => {
                let mut now = stamp(&stat(&file)?);
                content.correct(&mut now);
                content.change(size.min(now.size)..u64::MAX, Change::Zeros, change)
            }
            None => {
                let after: Stamp = change()?;
                // The kernel cuts its own pages.
                if inode.seen() != 0 {
                    inode.set_seen(digest(after));
                }
                Ok(())
            }
        }
    }

    /// Clears set-user-id and set-group-id as a write by somebody without CAP_FSETID does. That
    /// capability is taken to be root's: the kernel asks us only if it matters, or does not
    /// say.
    pub(super) fn drop_privileges(&self, caller: Caller, file: &File) -> io::Result<()> {
        if self.root && !caller.is_root() {
            self.clear_set_id(file)?;
        }
        Ok(())
    }

    /// Clears set-user-id, set-group-id and file capabilities.
    pub(super) fn clear_set_id(&self, file: &File) -> io::Result<()> {
        if !self.root && self.size.is_none() {
            // The write that reaches SOURCE is one without rights and does it.
            return Ok(());
        }
        let mode = u32::from(stat(file)?.stx_mode);
        let mut cleared = mode & !libc::S_ISUID;
        if mode & libc::S_IXGRP != 0 {
            cleared &= !libc::S_ISGID;
        }
        if cleared != mode {
            rustix::fs::fchmod(file, permissions(cleared))?;
        }
        if self.root && !self.writes_reach_source {
            match rustix::fs::fremovexattr(file, "security.capability") {
                Ok(()) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// STATFS.
    pub(super) fn statfs(&self, node: u64) -> io::Result<StatVfs> {
        let inode = self.table.get(node)?;
        // Not fstatvfs on an `O_PATH` descriptor of a file, which old kernels refuse.
        let mut found = match inode.fd(&self.source) {
            Ok(fd) => rustix::fs::fstatvfs(&fd)?,
            Err(_) => rustix::fs::fstatvfs(&self.source.root)?,
        };
        if let Some(size) = self.size {
            let mut status = crate::status::MountStatus::default();
            self.contents.status(&mut status);
            found.f_bsize = 4096;
            found.f_frsize = 4096;
            found.f_blocks = size / 4096;
            found.f_bfree = found.f_blocks.saturating_sub(status.pages);
            found.f_bavail = found.f_bfree;
        }
        Ok(found)
    }
}

/// Changes all but the size.
fn set(fd: impl AsFd, changes: &Changes) -> io::Result<()> {
    let fd = fd.as_fd();
    if changes.uid.is_some() || changes.gid.is_some() {
        let uid = changes.uid.map(Uid::from_raw);
        let gid = changes.gid.map(Gid::from_raw);
        rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    if let Some(mode) = changes.mode {
        rustix::fs::chmodat(
            CWD,
            descriptor::path(&fd),
            permissions(mode),
            AtFlags::empty(),
        )?;
    }
    if changes.atime.is_some() || changes.mtime.is_some() {
        let times = Timestamps {
            last_access: timespec(changes.atime),
            last_modification: timespec(changes.mtime),
        };
        rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        Some(TimeOrNow::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
        Some(TimeOrNow::SpecificTime(time)) => exact(time),
    }
}

/// The time that the kernel sent. Before 1970 `fuser` 0.18 subtracts the nanoseconds if they
/// are to be added (`system_time_from_time`); that is undone here.
fn exact(time: SystemTime) -> Timespec {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timespec {
            tv_sec: since.as_secs() as i64,
            tv_nsec: i64::from(since.subsec_nanos()),
        },
        Err(before) => Timespec {
            tv_sec: -(before.duration().as_secs() as i64),
            tv_nsec: i64::from(before.duration().subsec_nanos()),
        },
    }
}
