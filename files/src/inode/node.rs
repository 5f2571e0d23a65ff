//! One inode: where its file is at SOURCE, and what is open of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::known::Known;
use super::place::Place;
use super::source::{Source, may_execute, reopen};
use crate::content::{Content, FileKey};
use crate::descriptors::{Charge, Held, Holder, MountPool};
use crate::identity::Caller;

/// A name that led to the inode.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The node of the directory.
    pub(crate) parent: u64,
    /// The name in it.
    pub(crate) name: Box<[u8]>,
}

/// An inode that the kernel knows of.
#[derive(Debug)]
pub(crate) struct Inode {
    /// Which file it is.
    pub(crate) key: FileKey,
    /// What the kernel calls it.
    pub(crate) node: u64,
    /// Tells files apart that had the same node one after another.
    pub(crate) generation: u32,
    /// The type bits of its mode.
    pub(crate) kind: u32,
    /// How often it was handed to the kernel, less what the kernel has forgotten. It changes to 0
    /// under the lock of its shard of the table only.
    pub(crate) lookups: AtomicU64,
    /// A file: digest of the stamp at which what the kernel has cached of it was right, as far as
    /// no [`Content`] knows better. A directory: the same for the listing. 0: nothing is known.
    seen: AtomicU64,
    /// What the kernel knows of it. Innermost.
    pub(crate) known: Mutex<Known>,
    /// Pages that the kernel may have of it are not right, and it may not have dropped them yet.
    stale: AtomicBool,
    /// It was used since the table was last looked through for what to drop.
    pub(crate) used: AtomicBool,
    /// It has no name any more.
    pub(crate) unlinked: AtomicBool,
    /// Directories that are open.
    pub(crate) open_directories: AtomicU32,
    place: Place,
    /// The last name, if the kernel is asked by name to drop it. Innermost.
    pub(crate) name: Mutex<Option<Box<Name>>>,
    /// Held while the file is opened, over SOURCE's answers: outside of the locks of contents but
    /// [`Content`]'s `exclusive`, which is not taken under it.
    pub(crate) state: Mutex<State>,
}

/// What is open of an inode.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The file, while the kernel has it open.
    pub(crate) open: Option<Arc<Open>>,
    /// Keeps a file without a name alive for as long as the kernel knows it.
    pub(crate) pin: Option<Arc<Held>>,
}

/// The flag of an open(2) that the kernel does to execute a file.
pub(crate) const FMODE_EXEC: i32 = 0x20;

/// Descriptors of a file that is open: one for reading, one for writing.
pub(crate) const OF_FILE: usize = 2;

/// Who has a file open. Each user pays for its descriptors, since each of them keeps them. Its lock is taken
/// outside of those of descriptors.
#[derive(Debug, Default)]
pub(crate) struct Openers(Mutex<BTreeMap<u32, Opener>>);

/// A user who has a file open.
#[derive(Debug)]
struct Opener {
    handles: u64,
    _charge: Charge,
}

impl Openers {
    /// One more handle of the user.
    ///
    /// # Errors
    /// EMFILE or ENFILE if there are too many descriptors.
    pub(crate) fn add(&self, uid: u32, mount: &Arc<MountPool>) -> io::Result<()> {
        let mut openers = self.0.lock();
        if let Some(opener) = openers.get_mut(&uid) {
            opener.handles += 1;
            return Ok(());
        }
        let charge = mount.take(Holder::User(uid), OF_FILE)?;
        let opener = Opener {
            handles: 1,
            _charge: charge,
        };
        openers.insert(uid, opener);
        Ok(())
    }

    /// One handle less. Returns whether it was the last one of all.
    pub(crate) fn remove(&self, uid: u32) -> bool {
        let mut openers = self.0.lock();
        if let Some(opener) = openers.get_mut(&uid) {
            opener.handles -= 1;
            if opener.handles == 0 {
                openers.remove(&uid);
            }
        }
        openers.is_empty()
    }
}

/// A regular file that the kernel has open.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its pages.
    pub(crate) content: Arc<Content>,
    /// Its descriptors.
    pub(crate) files: Descriptors,
    /// Whose handles there are.
    pub(crate) openers: Openers,
}

/// A file of SOURCE, open for what it is needed for.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    /// The source, open for reading.
    reader: OnceLock<Arc<File>>,
    /// The source, open for writing (and reading, if that is allowed).
    writer: OnceLock<Arc<File>>,
}

/// A descriptor of an inode's file; good for `*at` calls and fstat, perhaps for no more.
#[derive(Debug)]
pub(crate) enum PathFd<'a> {
    /// Opened for this call.
    New(OwnedFd),
    /// The inode's.
    Held(BorrowedFd<'a>),
    /// Of the file that is open.
    Open(Arc<File>),
    /// Of the file that has no name.
    Pinned(Arc<Held>),
}

impl AsFd for PathFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            PathFd::New(fd) => fd.as_fd(),
            PathFd::Held(fd) => fd.as_fd(),
            PathFd::Open(file) => file.as_fd(),
            PathFd::Pinned(held) => held.as_fd(),
        }
    }
}

impl Inode {
    /// An inode that the kernel learns of for the first time.
    pub(crate) fn new(key: FileKey, node: u64, kind: u32, place: Place) -> Self {
        Inode {
            key,
            node,
            generation: 0,
            kind: kind & libc::S_IFMT,
            lookups: AtomicU64::new(1),
            seen: AtomicU64::new(0),
            known: Mutex::default(),
            stale: AtomicBool::new(false),
            used: AtomicBool::new(true),
            unlinked: AtomicBool::new(false),
            open_directories: AtomicU32::new(0),
            place,
            name: Mutex::new(None),
            state: Mutex::new(State::default()),
        }
    }

    /// Whether it is a regular file.
    pub(crate) fn is_regular(&self) -> bool {
        self.kind == libc::S_IFREG
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == libc::S_IFDIR
    }

    /// Whether `other` is found at the same place: the same file, if keys can't tell.
    pub(crate) fn same_place(&self, other: &Inode) -> bool {
        match (&self.place, &other.place) {
            (Place::Handle(a), Place::Handle(b)) => a == b,
            _ => true,
        }
    }

    /// The digest of what the kernel has seen; 0 if that is not known.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Notes what the kernel has seen.
    pub(crate) fn set_seen(&self, digest: u64) {
        self.seen.store(digest, Relaxed);
    }

    /// What the kernel may have of the file is not right.
    pub(crate) fn set_stale(&self) {
        self.set_seen(0);
        self.stale.store(true, Relaxed);
    }

    /// Whether that was noted since the last time this was asked, which is when the kernel is made
    /// to drop it.
    pub(crate) fn take_stale(&self) -> bool {
        self.stale.swap(false, Relaxed)
    }

    /// What is open of it.
    pub(crate) fn open(&self) -> Option<Arc<Open>> {
        self.state.lock().open.clone()
    }

    /// A descriptor of its file.
    ///
    /// # Errors
    /// ESTALE if the file is gone.
    pub(crate) fn fd<'a>(&'a self, source: &'a Source) -> io::Result<PathFd<'a>> {
        let handle = match &self.place {
            Place::Fd(held) => return Ok(PathFd::Held(held.as_fd())),
            Place::Root => return Ok(PathFd::Held(source.root.as_fd())),
            Place::Handle(handle) => handle,
        };
        if !self.is_directory() || self.unlinked.load(Relaxed) {
            let state = self.state.lock();
            if let Some(pin) = &state.pin {
                return Ok(PathFd::Pinned(Arc::clone(pin)));
            }
            if let Some(Ok(file)) = state.open.as_ref().map(|open| open.files.any()) {
                return Ok(PathFd::Open(Arc::clone(file)));
            }
        }
        handle
            .open(&source.root, libc::O_PATH | libc::O_NOFOLLOW)
            .map(PathFd::New)
    }

    /// Opens its file as `caller`, if SOURCE lets them.
    ///
    /// # Errors
    /// Those of open(2); EWOULDBLOCK if somebody else has to give up a lease first.
    pub(crate) fn open_file(
        &self,
        source: &Source,
        caller: Caller,
        flags: i32,
    ) -> io::Result<OwnedFd> {
        let pin = self.state.lock().pin.clone();
        self.open_place(pin.as_deref(), source, caller, flags)
    }

    /// The same with the inode's state locked.
    pub(crate) fn open_place(
        &self,
        pin: Option<&Held>,
        source: &Source,
        caller: Caller,
        flags: i32,
    ) -> io::Result<OwnedFd> {
        let executes = flags & FMODE_EXEC != 0;
        let flags = flags & !FMODE_EXEC | libc::O_NONBLOCK;
        let by_handle;
        let fd = match (&self.place, pin) {
            (_, Some(held)) => held.as_fd(),
            (Place::Fd(held), None) => held.as_fd(),
            (Place::Root, None) => source.root.as_fd(),
            (Place::Handle(handle), None) if caller.is_root() => {
                return handle.open(&source.root, flags);
            }
            (Place::Handle(handle), None) => {
                // Handles are for those who may read all.
                by_handle = handle.open(&source.root, libc::O_PATH | libc::O_NOFOLLOW)?;
                by_handle.as_fd()
            }
        };
        let acting = caller.act()?;
        match reopen(fd, flags) {
            Err(e) if executes && e.raw_os_error() == Some(libc::EACCES) => {
                may_execute(fd)?;
                drop(acting);
                reopen(fd, flags)
            }
            opened => opened,
        }
    }
}

impl Descriptors {
    /// Either descriptor; EBADF if there is none.
    pub(crate) fn any(&self) -> io::Result<&Arc<File>> {
        self.reader().or_else(|_| self.writer())
    }

    /// The file, open for reading; EBADF if it is not.
    pub(crate) fn reader(&self) -> io::Result<&Arc<File>> {
        self.reader
            .get()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    /// The file, open for writing; EBADF if it is not.
    pub(crate) fn writer(&self) -> io::Result<&Arc<File>> {
        self.writer
            .get()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    /// Takes a file that was opened, for what it is good for.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub(crate) fn set(&self, file: File) -> io::Result<()> {
        let access = rustix::fs::fcntl_getfl(&file)? & OFlags::ACCMODE;
        let file = Arc::new(file);
        if access != OFlags::WRONLY {
            self.reader.get_or_init(|| Arc::clone(&file));
        }
        if access != OFlags::RDONLY {
            self.writer.get_or_init(|| file);
        }
        Ok(())
    }

    /// Opens it for reading, for writing, or for both, as far as it is not yet; if `judged`, all the
    /// same, so that SOURCE has its say.
    ///
    /// # Errors
    /// Those of open(2).
    pub(crate) fn make(
        &self,
        read: bool,
        write: bool,
        judged: bool,
        open: impl Fn(i32) -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        let mut may_read = false;
        if write && (judged || self.writer.get().is_none()) {
            let (file, reads) = open_to_write(&open)?;
            self.set(file)?;
            may_read = reads;
        }
        if read && !may_read && (judged || self.reader.get().is_none()) {
            self.set(File::from(open(libc::O_RDONLY)?))?;
        }
        Ok(())
    }
}

/// Opens a file for writing, and for reading if that is allowed: the cache completes pages that
/// are written in part. Says whether it is.
fn open_to_write(open: impl Fn(i32) -> io::Result<OwnedFd>) -> io::Result<(File, bool)> {
    match open(libc::O_RDWR) {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            Ok((File::from(open(libc::O_WRONLY)?), false))
        }
        other => Ok((File::from(other?), true)),
    }
}
