//! The requests of the kernel, each handed to the one who does it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags,
    PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::AtFlags;

use super::attributes::Changes;
use super::caller::caller;
use super::names::Entry;
use super::passthrough::Passthrough;
use crate::identity::be_self;
use crate::inode::stat::bare_attributes;
use crate::options::WritePolicy;

/// Most bytes of a READ or WRITE.
const MAX_IO: u32 = 1 << 20;

/// Most requests that the kernel sends without waiting for answers (read-ahead, releases).
const MAX_BACKGROUND: u16 = 64;

/// Answers with an error.
macro_rules! answer {
    ($reply:ident, $result:expr, $ok:ident => $done:expr) => {
        match $result {
            Ok($ok) => $done,
            Err(e) => $reply.error(Errno::from(e)),
        }
    };
    ($reply:ident, $result:expr) => {
        answer!($reply, $result, done => {
            let () = done;
            $reply.ok();
        })
    };
}

/// What `fuser` calls.
pub(crate) struct Service(pub(crate) Arc<Passthrough>);

impl Service {
    /// For what is asked of names and attributes: as this process, since the thread may still be a caller
    /// for whom it has written.
    fn fs(&self) -> &Passthrough {
        be_self();
        &self.0
    }

    /// Has `answer` answer `request`, which may take long, by no more threads for one user than they may hold.
    fn answer_in_turn(
        &self,
        request: &Request,
        answer: impl FnOnce(&Passthrough) + Send + 'static,
    ) {
        let fs = Arc::clone(&self.0);
        let job = Box::new(move || answer(&fs));
        self.0.turns.serve(request.uid(), job);
    }

    /// Answers `request` by what `serve` gives, now or, if that would block (EWOULDBLOCK), from another
    /// thread once it does not.
    fn answer_in_time<T>(
        &self,
        request: &Request,
        mut serve: impl FnMut(&Passthrough) -> io::Result<T> + Send + 'static,
        answer: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        match serve(self.fs()) {
            Err(e) if would_block(&e) => {}
            done => return answer(done),
        }
        let fs = Arc::clone(&self.0);
        let mut answer = Some(answer);
        let again = move || match serve(&fs) {
            Err(e) if would_block(&e) => false,
            done => {
                if let Some(answer) = answer.take() {
                    answer(done);
                }
                true
            }
        };
        self.0.waiting.add(request.uid(), Box::new(again));
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn reply_attributes(reply: ReplyAttr, found: io::Result<(FileAttr, Duration)>) {
    answer!(reply, found, found => reply.attr(&found.1, &found.0));
}

fn reply_open(reply: ReplyOpen, opened: io::Result<(FileHandle, FopenFlags)>) {
    answer!(reply, opened, opened => reply.opened(opened.0, opened.1));
}

fn reply_entry(reply: ReplyEntry, entry: io::Result<Entry>) {
    answer!(reply, entry, entry => {
        reply.entry(&entry.valid, &entry.attributes, entry.generation());
    });
}

/// "No such name" that the kernel may believe for a while.
fn reply_nothing(reply: ReplyEntry, valid: Duration) {
    if valid.is_zero() {
        return reply.error(Errno::ENOENT);
    }
    let nothing = bare_attributes(0, FileType::RegularFile);
    reply.entry(&valid, &nothing, Generation(0));
}

fn reply_xattr(reply: ReplyXattr, size: u32, value: io::Result<Vec<u8>>) {
    answer!(reply, value, value => {
        if size == 0 {
            reply.size(value.len() as u32);
        } else if value.len() > size as usize {
            reply.error(Errno::ERANGE);
        } else {
            reply.data(&value);
        }
    });
}

impl Filesystem for Service {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_ATOMIC_O_TRUNC
            | InitFlags::FUSE_POSIX_ACL
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2;
        wanted |= if self.0.strict {
            // The kernel asks for attributes at each read, and drops pages that they belie.
            InitFlags::FUSE_AUTO_INVAL_DATA
        } else {
            InitFlags::FUSE_EXPLICIT_INVAL_DATA
        };
        if let Err(missing) = config.add_capabilities(wanted) {
            tracing::debug!("the kernel lacks {missing:?}");
            config
                .add_capabilities(wanted - missing)
                .map_err(|_| io::Error::from_raw_os_error(libc::EPROTO))?;
        }
        // Each gives back the nearest that is possible.
        let _ = config
            .set_max_write(MAX_IO)
            .or_else(|max| config.set_max_write(max));
        let _ = config
            .set_max_readahead(MAX_IO)
            .or_else(|max| config.set_max_readahead(max));
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.fs().lookup(parent.0, name) {
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
                reply_nothing(reply, self.fs().nothing());
            }
            entry => reply_entry(reply, entry),
        }
    }

    fn forget(&self, _request: &Request, node: INodeNo, count: u64) {
        self.fs().forget(node.0, count);
    }

    fn getattr(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        reply_attributes(reply, self.fs().getattr(node.0));
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = Changes {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
            by_handle: handle.is_some(),
        };
        let caller = caller(request);
        self.answer_in_time(
            request,
            move |fs| fs.setattr(caller, node.0, &changes),
            |found| reply_attributes(reply, found),
        );
    }

    fn readlink(&self, _request: &Request, node: INodeNo, reply: ReplyData) {
        answer!(reply, self.fs().readlink(node.0), target => reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let made = self
            .fs()
            .mknod(caller(request), parent.0, name, (mode, umask), device);
        reply_entry(reply, made);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(
            reply,
            self.fs()
                .mkdir(caller(request), parent.0, name, mode, umask),
        );
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            self.fs()
                .remove(caller(request), parent.0, name, AtFlags::empty())
        );
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(
            reply,
            self.fs()
                .remove(caller(request), parent.0, name, AtFlags::REMOVEDIR)
        );
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        reply_entry(
            reply,
            self.fs().symlink(caller(request), parent.0, name, target),
        );
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = ((parent.0, name), (new_parent.0, new_name));
        answer!(reply, self.fs().rename(caller(request), from, to, flags));
    }

    fn link(
        &self,
        request: &Request,
        node: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        reply_entry(
            reply,
            self.fs().link(caller(request), node.0, parent.0, name),
        );
    }

    fn open(&self, request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let caller = caller(request);
        if flags.0 & libc::O_NONBLOCK != 0 {
            return reply_open(reply, self.fs().open(caller, node.0, flags));
        }
        self.answer_in_time(
            request,
            move |fs| fs.open(caller, node.0, flags),
            |opened| reply_open(reply, opened),
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self
            .fs()
            .create(caller(request), (parent.0, name), (mode, umask), flags);
        answer!(reply, made, made => {
            let (entry, handle, flags) = made;
            let generation = entry.generation();
            reply.created(&entry.valid, &entry.attributes, generation, handle, flags);
        });
    }

    fn read(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.read(handle, offset, size, reply);
    }

    fn write(
        &self,
        request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self
            .0
            .write(caller(request), handle, offset, data, write_flags, flags);
        answer!(reply, written, written => reply.written(written));
    }

    fn flush(
        &self,
        request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        if self.0.write == WritePolicy::Back {
            self.answer_in_turn(request, move |fs| answer!(reply, fs.flush(handle)));
        } else {
            answer!(reply, self.0.flush(handle));
        }
    }

    fn release(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.release(handle);
        reply.ok();
    }

    fn fsync(
        &self,
        request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.answer_in_turn(request, move |fs| {
            answer!(reply, fs.fsync(handle, data_only));
        });
    }

    fn opendir(&self, request: &Request, node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply_open(reply, self.fs().opendir(caller(request), node.0));
    }

    fn readdir(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.fs().readdir(handle, offset, |node, next, kind, name| {
            reply.add(node, next, kind, name)
        });
        answer!(reply, listed);
    }

    fn readdirplus(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.fs().readdirplus(
            handle,
            offset,
            |next, name, valid, attributes, generation| {
                reply.add(attributes.ino, next, name, valid, attributes, generation)
            },
        );
        answer!(reply, listed);
    }

    fn releasedir(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs().releasedir(handle);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.answer_in_turn(request, move |fs| {
            be_self();
            answer!(reply, fs.fsyncdir(handle, data_only));
        });
    }

    fn statfs(&self, _request: &Request, node: INodeNo, reply: ReplyStatfs) {
        answer!(reply, self.fs().statfs(node.0), found => {
            reply.statfs(
                found.f_blocks,
                found.f_bfree,
                found.f_bavail,
                found.f_files,
                found.f_ffree,
                found.f_bsize as u32,
                found.f_namemax as u32,
                found.f_frsize as u32,
            );
        });
    }

    fn setxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        answer!(
            reply,
            self.fs()
                .setxattr(caller(request), node.0, name, value, flags)
        );
    }

    fn getxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        reply_xattr(
            reply,
            size,
            self.fs().getxattr(caller(request), node.0, name),
        );
    }

    fn listxattr(&self, request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, self.fs().listxattr(caller(request), node.0));
    }

    fn removexattr(&self, request: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.fs().removexattr(caller(request), node.0, name));
    }

    /// None is passed on.
    fn ioctl(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _data: &[u8],
        _size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    /// Regular files are always ready: the kernel need not ask again.
    fn poll(
        &self,
        _request: &Request,
        _node: INodeNo,
        _handle: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer!(
            reply,
            self.fs()
                .fallocate(caller(request), handle, offset, length, mode)
        );
    }

    fn lseek(
        &self,
        _request: &Request,
        _node: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        answer!(reply, self.fs().lseek(handle, offset, whence), at => reply.offset(at));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _from_node: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _to_node: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (from, to) = ((from, from_offset), (to, to_offset));
        let copied = self.fs().copy_file_range(caller(request), from, to, length);
        answer!(reply, copied, copied => reply.written(copied));
    }
}
