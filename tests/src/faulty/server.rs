//! The file system's operations: each is done to the directory behind.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;

use super::Faults;

/// The kernel asks again each time.
const NOT_KEPT: Duration = Duration::ZERO;

/// Serves the directory.
#[derive(Debug)]
pub(super) struct Server {
    faults: Arc<Faults>,
    /// Paths by inode number: that of the file behind, but 1 for the directory itself.
    paths: Mutex<HashMap<u64, PathBuf>>,
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Open {
    file: File,
    ino: u64,
}

impl Server {
    pub(super) fn new(behind: &Path, faults: Arc<Faults>) -> Server {
        Server {
            faults,
            paths: Mutex::new(HashMap::from([(INodeNo::ROOT.0, behind.to_owned())])),
            open: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    fn path(&self, ino: INodeNo) -> io::Result<PathBuf> {
        let path = self.paths.lock().get(&ino.0).cloned();
        path.ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        Ok(self.path(parent)?.join(name))
    }

    fn enter(&self, path: PathBuf) -> io::Result<FileAttr> {
        let attr = attributes(&fs::symlink_metadata(&path)?);
        self.paths.lock().insert(attr.ino.0, path);
        Ok(attr)
    }

    fn opened(&self, fh: FileHandle) -> io::Result<Arc<Open>> {
        let open = self.open.lock().get(&fh.0).cloned();
        open.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn keep(&self, file: File, ino: u64) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open
            .lock()
            .insert(number, Arc::new(Open { file, ino }));
        FileHandle(number)
    }

    /// A descriptor of the file, which may have lost its name.
    fn any_open(&self, ino: INodeNo) -> Option<Arc<Open>> {
        let open = self.open.lock();
        open.values().find(|open| open.ino == ino.0).cloned()
    }

    fn metadata(&self, ino: INodeNo) -> io::Result<FileAttr> {
        let by_path = self.path(ino).and_then(fs::symlink_metadata);
        let metadata = match by_path {
            Ok(metadata) if ino == INodeNo::ROOT || metadata.ino() == ino.0 => metadata,
            other => match self.any_open(ino) {
                Some(open) => open.file.metadata()?,
                None => return other.map(|metadata| attributes(&metadata)),
            },
        };
        let mut attr = attributes(&metadata);
        attr.ino = ino;
        Ok(attr)
    }

    fn change(
        &self,
        ino: INodeNo,
        mode: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        size: Option<u64>,
        times: (Option<TimeOrNow>, Option<TimeOrNow>),
    ) -> io::Result<()> {
        let path = match self.any_open(ino) {
            Some(open) => {
                use std::os::fd::AsRawFd;
                PathBuf::from(format!("/proc/self/fd/{}", open.file.as_raw_fd()))
            }
            None => self.path(ino)?,
        };
        if let Some(mode) = mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        if owner != (None, None) {
            std::os::unix::fs::chown(&path, owner.0, owner.1)?;
        }
        if let Some(size) = size {
            OpenOptions::new().write(true).open(&path)?.set_len(size)?;
        }
        if times.0.is_some() || times.1.is_some() {
            let of = |time| match time {
                Some(TimeOrNow::SpecificTime(time)) => time,
                Some(TimeOrNow::Now) | None => SystemTime::now(),
            };
            let old = fs::metadata(&path)?;
            let mut new = fs::FileTimes::new()
                .set_accessed(old.accessed()?)
                .set_modified(old.modified()?);
            if times.0.is_some() {
                new = new.set_accessed(of(times.0));
            }
            if times.1.is_some() {
                new = new.set_modified(of(times.1));
            }
            File::open(&path)?.set_times(new)?;
        }
        Ok(())
    }

    fn list(&self, ino: INodeNo) -> io::Result<Vec<(u64, FileType, std::ffi::OsString)>> {
        let mut entries = vec![
            (ino.0, FileType::Directory, ".".into()),
            (ino.0, FileType::Directory, "..".into()),
        ];
        for entry in fs::read_dir(self.path(ino)?)? {
            let entry = entry?;
            let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
            entries.push((entry.metadata()?.ino(), kind, entry.file_name()));
        }
        Ok(entries)
    }
}

fn attributes(metadata: &fs::Metadata) -> FileAttr {
    let time = |seconds: i64, nanoseconds: i64| {
        UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanoseconds as u32)
    };
    FileAttr {
        ino: INodeNo(metadata.ino()),
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile),
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: metadata.nlink() as u32,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: metadata.rdev() as u32,
        blksize: 4096,
        flags: 0,
    }
}

/// Flags of open(2) that are for the file behind: not direct I/O, whose buffers would have to be
/// aligned, and not O_APPEND, because the kernel says where to write.
fn passed_on(flags: i32) -> OpenOptions {
    let mut options = OpenOptions::new();
    let kind = flags & libc::O_ACCMODE;
    options
        .read(kind != libc::O_WRONLY)
        .write(kind != libc::O_RDONLY)
        .custom_flags(flags & libc::O_TRUNC);
    options
}

/// Answers with what an operation gave.
macro_rules! answer {
    ($reply:ident, $done:expr, $value:ident => $say:expr) => {
        match $done {
            Ok($value) => $say,
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let done = self.child(parent, name).and_then(|path| self.enter(path));
        answer!(reply, done, attr => reply.entry(&NOT_KEPT, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.metadata(ino), attr => reply.attr(&NOT_KEPT, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = self
            .change(ino, mode, (uid, gid), size, (atime, mtime))
            .and_then(|()| self.metadata(ino));
        answer!(reply, done, attr => reply.attr(&NOT_KEPT, &attr));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let done = self.child(parent, name).and_then(|path| {
            fs::DirBuilder::new().mode(mode & !umask).create(&path)?;
            self.enter(path)
        });
        answer!(reply, done, attr => reply.entry(&NOT_KEPT, &attr, Generation(0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.child(parent, name).and_then(fs::remove_file);
        answer!(reply, done, _done => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.child(parent, name).and_then(fs::remove_dir);
        answer!(reply, done, _done => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.child(parent, name).and_then(|from| {
            let to = self.child(newparent, newname)?;
            fs::rename(from, &to)?;
            self.enter(to)
        });
        answer!(reply, done, _attr => reply.ok());
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let done = self
            .path(ino)
            .and_then(|path| passed_on(flags.0).open(path));
        answer!(reply, done, file => {
            reply.opened(self.keep(file, ino.0), FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let done = self.child(parent, name).and_then(|path| {
            // Making a file is for those who may write, whatever they open it for.
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(mode & !umask)
                .open(&path)?;
            let file = passed_on(flags).open(&path)?;
            Ok((file, self.enter(path)?))
        });
        answer!(reply, done, made => {
            let fh = self.keep(made.0, made.1.ino.0);
            reply.created(&NOT_KEPT, &made.1, Generation(0), fh, FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let name = self
            .path(ino)
            .ok()
            .and_then(|path| path.file_name().map(OsStr::to_owned));
        let size = match self
            .faults
            .before_read(&name.unwrap_or_default(), offset, size as usize)
        {
            Ok(size) => size,
            Err(error) => return reply.error(error),
        };
        let mut bytes = vec![0; size];
        let done = self
            .opened(fh)
            .and_then(|open| open.file.read_at(&mut bytes, offset));
        answer!(reply, done, count => reply.data(&bytes[..count]));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if let Err(error) = self.faults.before_write(data.len()) {
            return reply.error(error);
        }
        let done = self
            .opened(fh)
            .and_then(|open| open.file.write_all_at(data, offset));
        answer!(reply, done, _done => reply.written(data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.lock().remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        if let Err(error) = self.faults.before_sync() {
            return reply.error(error);
        }
        let done = self.opened(fh).and_then(|open| open.file.sync_all());
        answer!(reply, done, _done => reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        answer!(reply, self.list(ino), entries => {
            for (at, (ino, kind, name)) in (1..).zip(entries).skip(offset as usize) {
                if reply.add(INodeNo(ino), at, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let done = self
            .path(INodeNo::ROOT)
            .and_then(|path| Ok(rustix::fs::statvfs(path)?));
        answer!(reply, done, found => reply.statfs(
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
            found.f_files,
            found.f_ffree,
            found.f_bsize as u32,
            255,
            found.f_frsize as u32,
        ));
    }
}
