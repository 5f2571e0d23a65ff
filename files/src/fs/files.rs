//! Regular files: open, read, write, and all that moves their data.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fuser::{FileHandle, FopenFlags, OpenFlags, ReplyData, WriteFlags};
use rustix::fs::{FallocateFlags, Mode, OFlags, Statx};

use super::caller::make_as;
use super::names::Entry;
use super::open_file::OpenFile;
use super::passthrough::Passthrough;
use crate::content::Change;
use crate::descriptors::Holder;
use crate::identity::{self, Caller};
use crate::inode::stat::{digest, stamp, stat};
use crate::inode::{Descriptors, FMODE_EXEC, Inode, OF_FILE, Open, Openers};
use crate::options::WritePolicy;

/// Most bytes of a COPY_FILE_RANGE: the thread that copies answers nobody else meanwhile, and the kernel
/// asks for the rest.
const MAX_COPY: u64 = 4 << 20;

impl Passthrough {
    /// OPEN, with O_TRUNC.
    pub(super) fn open(
        &self,
        caller: Caller,
        node: u64,
        flags: OpenFlags,
    ) -> io::Result<(FileHandle, FopenFlags)> {
        let inode = self.table.get(node)?;
        let mut access = Access::of(flags.0);
        let truncate = flags.0 & libc::O_TRUNC != 0;
        access.write |= truncate;
        let (file, keep) = self.open_inode(caller, &inode, access, None)?;
        let answer = self.opened(&file, keep);
        if truncate && let Err(e) = self.truncate(caller, &inode, 0, true) {
            self.close(&file);
            return Err(e);
        }
        Ok((self.give_out(file), answer))
    }

    /// CREATE: a new file, open. Returns the answer of a look-up as well.
    pub(super) fn create(
        &self,
        caller: Caller,
        (parent, name): (u64, &OsStr),
        (mode, umask): (u32, u32),
        flags: i32,
    ) -> io::Result<(Entry, FileHandle, FopenFlags)> {
        let directory = self.table.get(parent)?;
        let fd = directory.fd(&self.source)?;
        // Nothing is made that could not be opened.
        let room = self.descriptors.take(Holder::User(caller.uid), OF_FILE)?;
        let made = {
            let _acting = make_as(caller, umask)?;
            // Never a file that is there already: its permissions were not checked.
            let how = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
            let mode = Mode::from_bits_retain(mode & 0o7777);
            rustix::fs::openat(&fd, name, how | OFlags::CLOEXEC, mode)
        };
        let made = match made {
            Ok(made) => made,
            // Somebody made it at SOURCE: the kernel looks it up, checks, and opens it.
            Err(rustix::io::Errno::EXIST) if flags & libc::O_EXCL == 0 => {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            Err(e) => return Err(e.into()),
        };
        let found = stat(&made)?;
        let path = crate::inode::source::reopen(&made, libc::O_PATH)?;
        let entry = self.entry_of_file(parent, name, path, &found)?;
        drop(room);
        let opened = self.open_inode(caller, &entry.inode, Access::of(flags), Some(made));
        match opened {
            Ok((file, keep)) => {
                let answer = self.opened(&file, keep);
                Ok((entry, self.give_out(file), answer))
            }
            Err(e) => {
                self.forget(entry.inode.node, 1);
                Err(e)
            }
        }
    }

    /// Opens an inode; `made` is its file, open for reading and writing, if there is one already.
    /// Returns whether what the kernel has of it in its page cache is still right.
    fn open_inode(
        &self,
        caller: Caller,
        inode: &Arc<Inode>,
        access: Access,
        made: Option<OwnedFd>,
    ) -> io::Result<(OpenFile, bool)> {
        let uid = caller.uid;
        let mut state = inode.state.lock();
        let known = state.open.is_some() || self.contents.existing(inode.key).is_some();
        let Access { read, write, how } = access;
        let source = |flags| {
            let pin = state.pin.as_deref();
            inode.open_place(pin, &self.source, caller, flags | how)
        };
        let judged = self.root && !caller.is_root();
        // The rights of a new file are its maker's.
        let is_new = made.is_some();
        let fill = |files: &Descriptors| match made {
            Some(made) => files.set(File::from(made)),
            None => files.make(read, write, judged, source),
        };
        let check = |found: Statx| match is_new {
            true => Ok(found),
            false => self.check_rights(caller, inode, &found).map(|()| found),
        };
        let (open, found) = match &state.open {
            Some(open) => {
                let open = Arc::clone(open);
                open.openers.add(uid, &self.descriptors)?;
                let filled = fill(&open.files);
                let found = filled.and_then(|()| check(stat(open.files.any()?)?));
                // The other handles stay, so this is not the last one.
                let found = found.inspect_err(|_| {
                    open.openers.remove(uid);
                })?;
                (open, found)
            }
            None => {
                let openers = Openers::default();
                openers.add(uid, &self.descriptors)?;
                let files = Descriptors::default();
                fill(&files)?;
                let found = check(stat(files.any()?)?)?;
                let open = Open {
                    content: self.contents.file(inode.key, stamp(&found)),
                    files,
                    openers,
                };
                (Arc::new(open), found)
            }
        };
        state.open = Some(Arc::clone(&open));
        drop(state);
        let mut now = stamp(&found);
        let same = open.content.revalidate(now);
        let stale = inode.take_stale();
        let keep = same && !stale && (known || inode.seen() == digest(now));
        open.content.correct(&mut now);
        if !inode.known.lock().has(now) {
            // A size from before would hide bytes.
            self.notices.stale_attributes(inode.node);
        }
        let file = OpenFile {
            inode: Arc::clone(inode),
            reported: open.content.opened(),
            open,
            writes: write,
            uid,
        };
        Ok((file, keep))
    }

    /// Gives a file a number.
    fn give_out(&self, file: OpenFile) -> FileHandle {
        let (handle, first) = self.files.insert(file);
        if first {
            self.notices.opened();
        }
        handle
    }

    /// Asks SOURCE about all files that are open. Returns whether there are any.
    pub(crate) fn revalidate_open_files(&self) -> bool {
        let open = self.files.all();
        for file in &open {
            match file.open.files.any().and_then(stat) {
                Ok(found) => {
                    self.revalidate(&file.inode, &file.open.content, stamp(&found));
                }
                Err(e) => tracing::debug!("cannot look at an open file: {e}"),
            }
        }
        !open.is_empty()
    }

    /// The flags of an answer to OPEN.
    fn opened(&self, file: &OpenFile, keep: bool) -> FopenFlags {
        let mut flags = FopenFlags::empty();
        flags.set(FopenFlags::FOPEN_KEEP_CACHE, keep);
        let reports = file.writes && self.write == WritePolicy::Back && self.size.is_none();
        flags.set(FopenFlags::FOPEN_NOFLUSH, !reports);
        flags
    }

    /// RELEASE.
    pub(super) fn release(&self, handle: FileHandle) {
        if let Some(file) = self.files.remove(handle) {
            self.close(&file);
        }
    }

    fn close(&self, file: &OpenFile) {
        let inode = &file.inode;
        let mut state = inode.state.lock();
        if !file.open.openers.remove(file.uid) {
            return;
        }
        state.open = None;
        drop(state);
        // From now on the content may be given up; what the kernel keeps is judged by this.
        let now = file
            .open
            .files
            .any()
            .and_then(stat)
            .map(|found| stamp(&found));
        // Only compared. The kernel does not wait for RELEASE: an open after it may have seen a later
        // state already, and a notice could come between its questions and our answers.
        match now {
            Ok(now) if file.open.content.agrees(now) => inode.set_seen(digest(now)),
            // The next open finds it out.
            Ok(_) => {}
            Err(_) => inode.set_seen(0),
        }
        if inode.unlinked.load(Relaxed) && self.table.find(&inode.key).is_none() {
            self.contents.forget(inode.key);
        }
    }

    /// READ. Answers by itself, because pages may be inserted after the reply.
    pub(super) fn read(&self, handle: FileHandle, offset: u64, size: u32, reply: ReplyData) {
        if let Some(hook) = &self.on_request {
            hook();
        }
        let file = match self.files.get(handle) {
            Ok(file) => file,
            Err(e) => return reply.error(e.into()),
        };
        match file.open.files.reader() {
            Ok(source) => {
                file.open
                    .content
                    .read(source, offset, size as usize, |data| match data {
                        Ok(data) => reply.data(data),
                        Err(e) => reply.error(e.into()),
                    })
            }
            Err(e) => reply.error(e.into()),
        }
    }

    /// WRITE.
    pub(super) fn write(
        &self,
        caller: Caller,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
    ) -> io::Result<u32> {
        let file = self.files.get(handle)?;
        let source = file.open.files.writer()?;
        // A write that reaches SOURCE in the name of another user does it there.
        let by_source = self.root && self.writes_reach_source && !caller.is_root();
        if write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) && !by_source {
            identity::be_self();
            self.clear_set_id(source)?;
        }
        file.open.content.write(caller, source, offset, data)?;
        // The kernel itself sends FSYNC after a write through its cache.
        if flags.0 & libc::O_DIRECT != 0 && flags.0 & libc::O_DSYNC != 0 {
            let data_only = flags.0 & libc::O_SYNC != libc::O_SYNC;
            file.open.content.fsync(source, data_only, &file.reported)?;
        }
        Ok(data.len() as u32)
    }

    /// FLUSH: a descriptor is closed.
    pub(super) fn flush(&self, handle: FileHandle) -> io::Result<()> {
        let file = self.files.get(handle)?;
        file.open.content.flush(&file.reported)
    }

    /// FSYNC.
    pub(super) fn fsync(&self, handle: FileHandle, data_only: bool) -> io::Result<()> {
        let file = self.files.get(handle)?;
        let source = file
            .open
            .files
            .writer()
            .or_else(|_| file.open.files.reader())?;
        file.open.content.fsync(source, data_only, &file.reported)
    }

    /// FALLOCATE, in all modes that SOURCE has.
    pub(super) fn fallocate(
        &self,
        caller: Caller,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> io::Result<()> {
        let file = self.files.get(handle)?;
        let source = file.open.files.writer()?;
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        let end = offset
            .checked_add(length)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EFBIG))?;
        self.drop_privileges(caller, source)?;
        // Others move data, which Linux does not let FUSE do.
        let known = FallocateFlags::KEEP_SIZE
            | FallocateFlags::PUNCH_HOLE
            | FallocateFlags::ZERO_RANGE
            | FallocateFlags::UNSHARE_RANGE;
        if !known.contains(mode) {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let zeros = FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        let change = if mode.intersects(zeros) {
            Change::Zeros
        } else {
            Change::Nothing
        };
        file.open.content.change(offset..end, change, || {
            let _acting = caller.act_on_open_file()?;
            if self.size.is_some() {
                allocate_nothing(source, end, mode)?;
            } else {
                rustix::fs::fallocate(source, mode, offset, length)?;
            }
            Ok(stamp(&stat(source)?))
        })
    }

    /// LSEEK with SEEK_DATA or SEEK_HOLE.
    pub(super) fn lseek(&self, handle: FileHandle, offset: i64, whence: i32) -> io::Result<i64> {
        let file = self.files.get(handle)?;
        let hole = match whence {
            libc::SEEK_DATA => false,
            libc::SEEK_HOLE => true,
            _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let offset =
            u64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::ENXIO))?;
        let source = file
            .open
            .files
            .reader()
            .or_else(|_| file.open.files.writer())?;
        let found = file.open.content.seek(source, offset, hole)?;
        i64::try_from(found).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
    }

    /// COPY_FILE_RANGE. ENOSYS makes the kernel read and write.
    pub(super) fn copy_file_range(
        &self,
        caller: Caller,
        (from, mut from_offset): (FileHandle, u64),
        (to, to_offset): (FileHandle, u64),
        length: u64,
    ) -> io::Result<u32> {
        if self.size.is_some() {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let (from, to) = (self.files.get(from)?, self.files.get(to)?);
        let (reader, writer) = (from.open.files.reader()?, to.open.files.writer()?);
        let length = length.min(MAX_COPY);
        from.open.content.write_dirty()?;
        self.drop_privileges(caller, writer)?;
        let mut copied = 0;
        let end = to_offset.saturating_add(length);
        to.open.content.change(to_offset..end, Change::Other, || {
            let _acting = caller.act_on_open_file()?;
            let mut at = to_offset;
            copied = rustix::fs::copy_file_range(
                reader,
                Some(&mut from_offset),
                writer,
                Some(&mut at),
                length as usize,
            )?;
            Ok(stamp(&stat(writer)?))
        })?;
        Ok(copied as u32)
    }
}

/// For what a file is opened.
#[derive(Clone, Copy, Debug)]
struct Access {
    read: bool,
    write: bool,
    /// Flags of the open.
    how: i32,
}

impl Access {
    /// What the flags of open(2) ask for.
    fn of(flags: i32) -> Self {
        let mode = flags & libc::O_ACCMODE;
        Access {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY,
            how: flags & FMODE_EXEC,
        }
    }
}

/// fallocate(2) on a file that holds no data itself: only its size can change.
fn allocate_nothing(file: &File, end: u64, mode: FallocateFlags) -> io::Result<()> {
    if !mode.contains(FallocateFlags::KEEP_SIZE) && stat(file)?.stx_size < end {
        file.set_len(end)?;
    }
    Ok(())
}
