//! Runs operations on real files and on the model of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FallocateFlags, RenameFlags, SeekFrom, Timespec, Timestamps};

use super::op::{Allocate, Fill, How, LARGEST, NAMES, Op};
use super::{Durability, Place, compare, read_whole};
use crate::content::Page;
use crate::map::Map;
use crate::mount::drop_page_cache;

/// The most files that are open at a time.
const OPEN: usize = 6;
const PAGE: u64 = 4096;

type Outcome = Result<(), String>;

/// What a file must hold.
#[derive(Debug, Default)]
struct Model {
    bytes: Vec<u8>,
    /// Time of modification, if it was set and nothing has changed since.
    modified: Option<(i64, u32)>,
    /// Written through a mapping, and not told to be written out since.
    map_dirty: bool,
    /// Nothing was written since the last fsync.
    synced: bool,
}

impl Model {
    fn changed(&mut self) {
        self.modified = None;
        self.synced = false;
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let (at, end) = (at as usize, at as usize + bytes.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.changed();
    }

    fn resize(&mut self, size: u64) {
        self.bytes.resize(size as usize, 0);
        self.changed();
    }

    fn part(&self, at: u64, length: u64) -> &[u8] {
        let end = self.bytes.len().min((at + length) as usize);
        &self.bytes[(at as usize).min(end)..end]
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

type Shared = Rc<RefCell<Model>>;

#[derive(Debug)]
struct Open {
    file: File,
    how: How,
    model: Shared,
    map: Option<Map>,
}

impl Open {
    /// Gives the error of close(2), which a File keeps for itself.
    fn close(self) -> io::Result<()> {
        drop(self.map);
        // SAFETY: the descriptor was the file's own, and nobody uses it any more.
        match unsafe { libc::close(self.file.into_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A directory in which a sequence ran, and what its files must hold.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    source: Option<(PathBuf, Durability)>,
    names: BTreeMap<u8, Shared>,
    open: Vec<Open>,
}

impl Tree {
    /// A new directory.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub(super) fn new(place: &Place, name: &str) -> Tree {
        let directory = place.point.join(name);
        fs::create_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        Tree {
            directory,
            source: place
                .source
                .as_ref()
                .map(|(path, when)| (path.join(name), *when)),
            names: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// Runs operations, compares, closes everything and compares again.
    ///
    /// # Errors
    /// What is not as it must be.
    pub(super) fn run(&mut self, ops: &[Op]) -> Outcome {
        for (number, op) in ops.iter().enumerate() {
            self.step(op)
                .map_err(|what| format!("operation {number}, {op:?}: {what}"))?;
        }
        for (number, open) in self.open.iter().enumerate() {
            let bytes = read_at(&open.file, 0, LARGEST as usize)
                .map_err(|error| format!("open file {number}: {error}"))?;
            compare(
                &format!("open file {number}"),
                &bytes,
                &open.model.borrow().bytes,
            )?;
        }
        for open in self.open.drain(..) {
            open.close().map_err(|error| format!("close: {error}"))?;
        }
        self.verify()
    }

    /// Compares every file, through the mount and in SOURCE, when none is open.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn verify(&self) -> Outcome {
        self.verify_in(&self.directory)?;
        self.verify_source()
    }

    /// Compares every file in SOURCE, if there is one.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn verify_source(&self) -> Outcome {
        match &self.source {
            Some((source, _)) => self.verify_in(source),
            None => Ok(()),
        }
    }

    fn verify_in(&self, directory: &Path) -> Outcome {
        let place = directory.display();
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| format!("{place}: {error}"))? {
            found.push(
                entry
                    .map_err(|error| format!("{place}: {error}"))?
                    .file_name(),
            );
        }
        found.sort();
        let names: Vec<std::ffi::OsString> = self
            .names
            .keys()
            .map(|name| file_name(*name).into())
            .collect();
        if found != names {
            return Err(format!("{place} has {found:?}, not {names:?}"));
        }
        for (name, model) in &self.names {
            same(&directory.join(file_name(*name)), &model.borrow())?;
        }
        Ok(())
    }

    /// Makes the kernel drop its clean pages of every file.
    ///
    /// # Errors
    /// If a file can't be opened.
    pub fn drop_page_cache(&self) -> Outcome {
        for name in self.names.keys() {
            let path = self.path(*name);
            let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            drop_page_cache(&file);
        }
        Ok(())
    }

    /// Removes the directory in SOURCE, if there is one.
    ///
    /// # Panics
    /// If that fails.
    pub fn remove_source(self) {
        if let Some((source, _)) = &self.source {
            fs::remove_dir_all(source)
                .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        }
    }

    fn path(&self, name: u8) -> PathBuf {
        self.directory.join(file_name(name))
    }

    fn open(&self, handle: u8) -> Option<&Open> {
        match self.open.len() {
            0 => None,
            count => self.open.get(usize::from(handle) % count),
        }
    }

    fn step(&mut self, op: &Op) -> Outcome {
        match *op {
            Op::Open { name, how } => return self.open_file(name, how),
            Op::Rename { from, to } => return self.rename(from, to),
            Op::Exchange { one, other } => return self.exchange(one, other),
            Op::Link { from, to } => return self.link(from, to),
            Op::Unlink { name } => {
                let done = fs::remove_file(self.path(name));
                return expect_found(done, self.names.remove(&name).is_some());
            }
            Op::TruncateName { name, size } => return self.truncate_name(name, size),
            Op::Look { name } => return self.look(name),
            Op::Copy {
                from,
                from_at,
                to,
                to_at,
                length,
            } => {
                let (Some(from), Some(to)) = (self.open(from), self.open(to)) else {
                    return Ok(());
                };
                return copy(from, from_at, to, to_at, length);
            }
            Op::Close { handle } => {
                if self.open.is_empty() {
                    return Ok(());
                }
                let at = usize::from(handle) % self.open.len();
                return self
                    .open
                    .remove(at)
                    .close()
                    .map_err(|error| format!("close: {error}"));
            }
            Op::MapRead { handle, at, length } => {
                return self.with_map(handle, |map, open| map_read(map, open, at, length));
            }
            Op::MapWrite {
                handle,
                at,
                length,
                fill,
                sync,
            } => {
                return self.with_map(handle, |map, open| {
                    map_write(map, open, at, length, fill, sync)
                });
            }
            _ => {}
        }
        match (*op, self.handle_of(op).and_then(|handle| self.open(handle))) {
            (_, None) => Ok(()),
            (Op::Read { at, length, .. }, Some(open)) => read(open, at, length),
            (
                Op::Write {
                    at, length, fill, ..
                },
                Some(open),
            ) => write(open, at, length, fill),
            (Op::Truncate { size, .. }, Some(open)) => truncate(open, size),
            (
                Op::Allocate {
                    what, at, length, ..
                },
                Some(open),
            ) => self.allocate(open, what, at, length),
            (Op::Sync { data_only, .. }, Some(open)) => sync(open, data_only),
            (Op::Seek { at, hole, .. }, Some(open)) => seek(open, at, hole),
            (Op::Drop { .. }, Some(open)) => {
                drop_page_cache(&open.file);
                Ok(())
            }
            (
                Op::SetTime {
                    seconds,
                    nanoseconds,
                    ..
                },
                Some(open),
            ) => set_time(open, seconds, nanoseconds),
            (Op::Stat { .. }, Some(open)) => {
                let metadata = open.file.metadata().map_err(describe)?;
                same_attributes(&metadata, &open.model.borrow())
            }
            _ => unreachable!("handled above"),
        }
    }

    fn handle_of(&self, op: &Op) -> Option<u8> {
        match *op {
            Op::Read { handle, .. }
            | Op::Write { handle, .. }
            | Op::Truncate { handle, .. }
            | Op::Allocate { handle, .. }
            | Op::Sync { handle, .. }
            | Op::Seek { handle, .. }
            | Op::Drop { handle }
            | Op::SetTime { handle, .. }
            | Op::Stat { handle } => Some(handle),
            _ => None,
        }
    }

    fn open_file(&mut self, name: u8, how: How) -> Outcome {
        if self.open.len() == OPEN {
            self.open
                .remove(0)
                .close()
                .map_err(|error| format!("close: {error}"))?;
        }
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            How::Read => &mut options,
            How::Create => options.write(true).create(true),
            How::Truncate => options.write(true).create(true).truncate(true),
            How::Append => options.append(true).create(true),
            How::Direct => options
                .write(true)
                .create(true)
                .custom_flags(libc::O_DIRECT),
        };
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if how == How::Read && !self.names.contains_key(&name) => {
                return expect_found(Err(error), false);
            }
            // Some file systems have no direct I/O, as those in memory. The file may be made.
            Err(error) if how == How::Direct && error.raw_os_error() == Some(libc::EINVAL) => {
                if self.bare_can(
                    |file| file.read_at(&mut [0; 0], 0).map(drop),
                    libc::O_DIRECT,
                ) {
                    return Err(format!("open: {error}"));
                }
                fs::metadata(&path).map_err(describe)?;
                self.names.entry(name).or_default();
                return Ok(());
            }
            Err(error) => return Err(format!("open: {error}")),
        };
        if how == How::Read && !self.names.contains_key(&name) {
            return Err("a name that is not there can be opened".to_owned());
        }
        let model = Rc::clone(self.names.entry(name).or_default());
        if how == How::Truncate {
            model.borrow_mut().resize(0);
        }
        self.open.push(Open {
            file,
            how,
            model,
            map: None,
        });
        Ok(())
    }

    /// Whether SOURCE itself can do what was refused.
    fn bare_can(&self, operation: impl FnOnce(&File) -> io::Result<()>, flags: i32) -> bool {
        let Some((source, _)) = &self.source else {
            return true;
        };
        let path = source.join("probe");
        let done = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(&path)
            .and_then(|file| operation(&file));
        // Nothing is there to remove if even that failed.
        let _ = fs::remove_file(path);
        done.is_ok()
    }

    fn with_map(&mut self, handle: u8, act: impl FnOnce(&Map, &Open) -> Outcome) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let at = usize::from(handle) % self.open.len();
        let open = &mut self.open[at];
        if open.how == How::Direct {
            return Ok(());
        }
        let map = match open.map.take() {
            Some(map) => map,
            None => Map::new(&open.file, LARGEST as usize, open.how != How::Read)
                .map_err(|error| format!("mmap: {error}"))?,
        };
        let done = act(&map, open);
        self.open[at].map = Some(map);
        done
    }

    fn rename(&mut self, from: u8, to: u8) -> Outcome {
        let done = fs::rename(self.path(from), self.path(to));
        let Some(model) = self.names.get(&from).cloned() else {
            return expect_found(done, false);
        };
        done.map_err(describe)?;
        // Between two names of one file, and a name and itself, rename does nothing.
        if self
            .names
            .get(&to)
            .is_none_or(|other| !Rc::ptr_eq(other, &model))
        {
            self.names.remove(&from);
            self.names.insert(to, model);
        }
        Ok(())
    }

    fn exchange(&mut self, one: u8, other: u8) -> Outcome {
        let (a, b) = (self.path(one), self.path(other));
        let done = rustix::fs::renameat_with(
            rustix::fs::CWD,
            &a,
            rustix::fs::CWD,
            &b,
            RenameFlags::EXCHANGE,
        );
        let (Some(a), Some(b)) = (
            self.names.get(&one).cloned(),
            self.names.get(&other).cloned(),
        ) else {
            return expect_found(done.map_err(Into::into), false);
        };
        done.map_err(|error| error.to_string())?;
        self.names.insert(one, b);
        self.names.insert(other, a);
        Ok(())
    }

    fn link(&mut self, from: u8, to: u8) -> Outcome {
        let done = fs::hard_link(self.path(from), self.path(to));
        match (self.names.get(&from).cloned(), self.names.contains_key(&to)) {
            (None, _) => expect_found(done, false),
            (Some(_), true) => match done {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => Err(format!("link to a name that is there: {other:?}")),
            },
            (Some(model), false) => {
                done.map_err(describe)?;
                self.names.insert(to, model);
                Ok(())
            }
        }
    }

    fn truncate_name(&mut self, name: u8, size: u64) -> Outcome {
        let path = std::ffi::CString::new(self.path(name).into_os_string().into_encoded_bytes())
            .map_err(|error| error.to_string())?;
        // SAFETY: the path is a string that ends with a zero, which lives through the call.
        let done = match unsafe { libc::truncate(path.as_ptr(), size.cast_signed()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        match self.names.get(&name) {
            None => expect_found(done, false),
            Some(model) => {
                done.map_err(describe)?;
                model.borrow_mut().resize(size);
                Ok(())
            }
        }
    }

    fn look(&self, name: u8) -> Outcome {
        let path = self.path(name);
        let found = fs::symlink_metadata(&path);
        let Some(model) = self.names.get(&name) else {
            return expect_found(found.map(drop), false);
        };
        let model = model.borrow();
        same_attributes(&found.map_err(describe)?, &model)?;
        if let Some((source, when)) = &self.source
            && !model.map_dirty
            && (*when == Durability::Written || model.synced)
        {
            same(&source.join(file_name(name)), &model)?;
        }
        Ok(())
    }

    fn allocate(&self, open: &Open, what: Allocate, at: u64, length: u64) -> Outcome {
        if open.how == How::Read {
            return Ok(());
        }
        let flags = match what {
            Allocate::Grow => FallocateFlags::empty(),
            Allocate::Keep => FallocateFlags::KEEP_SIZE,
            Allocate::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            Allocate::Zero => FallocateFlags::ZERO_RANGE,
            Allocate::ZeroKeep => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        };
        let length = length.min(LARGEST - at);
        if let Err(error) = rustix::fs::fallocate(&open.file, flags, at, length) {
            let probe = |file: &File| Ok(rustix::fs::fallocate(file, flags, 0, PAGE)?);
            if error == rustix::io::Errno::OPNOTSUPP && !self.bare_can(probe, 0) {
                return Ok(());
            }
            return Err(error.to_string());
        }
        let mut model = open.model.borrow_mut();
        let end = at + length;
        if matches!(what, Allocate::Grow | Allocate::Zero) && model.size() < end {
            model.resize(end);
        }
        if matches!(what, Allocate::Punch | Allocate::Zero | Allocate::ZeroKeep) {
            let end = end.min(model.size()) as usize;
            model.bytes[(at as usize).min(end)..end].fill(0);
        }
        model.changed();
        Ok(())
    }
}

fn file_name(name: u8) -> String {
    assert!(name < NAMES, "name {name}");
    format!("file{name}")
}

fn describe(error: io::Error) -> String {
    error.to_string()
}

/// What an operation on a name must give that is there or not.
fn expect_found(done: io::Result<()>, there: bool) -> Outcome {
    match done {
        Ok(()) if there => Ok(()),
        Ok(()) => Err("a name that is not there was found".to_owned()),
        Err(error) if !there && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn same(path: &Path, model: &Model) -> Outcome {
    let place = path.display();
    compare(&place.to_string(), &read_whole(path)?, &model.bytes)?;
    let metadata = fs::symlink_metadata(path).map_err(|error| format!("{place}: {error}"))?;
    same_attributes(&metadata, model).map_err(|what| format!("{place}: {what}"))
}

fn same_attributes(metadata: &fs::Metadata, model: &Model) -> Outcome {
    if metadata.len() != model.size() {
        return Err(format!(
            "size {} instead of {}",
            metadata.len(),
            model.size()
        ));
    }
    let found = (metadata.mtime(), metadata.mtime_nsec() as u32);
    match model.modified {
        Some(wanted) if wanted != found => Err(format!(
            "time of modification {found:?} instead of {wanted:?}"
        )),
        _ => Ok(()),
    }
}

/// Reads until `length` or the file's end.
fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    // Whole pages at a page's place in memory, for direct I/O.
    let mut pages = vec![Page([0; crate::content::WORDS]); length.div_ceil(PAGE as usize)];
    let bytes = bytes_of(&mut pages);
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..length], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes[..done].to_vec())
}

fn bytes_of(pages: &mut [Page]) -> &mut [u8] {
    let length = size_of_val(pages);
    // SAFETY: pages are initialised bytes without gaps, and any bytes make pages.
    unsafe { std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), length) }
}

/// Rounds to pages if the handle needs that.
fn rounded(open: &Open, at: u64, length: u64) -> (u64, u64) {
    let (at, length) = match open.how {
        How::Direct => (at & !(PAGE - 1), length.next_multiple_of(PAGE)),
        _ => (at, length),
    };
    (at, length.min(LARGEST - at))
}

fn read(open: &Open, at: u64, length: u64) -> Outcome {
    let (at, length) = rounded(open, at, length);
    let found = read_at(&open.file, at, length as usize).map_err(describe)?;
    compare("read", &found, open.model.borrow().part(at, length))
}

fn write(open: &Open, at: u64, length: u64, fill: Fill) -> Outcome {
    let mut model = open.model.borrow_mut();
    let at = match open.how {
        How::Read => return Ok(()),
        How::Append => model.size(),
        _ => at,
    };
    let (at, length) = rounded(open, at, length);
    let bytes = fill.bytes(length as usize);
    let mut pages = vec![Page([0; crate::content::WORDS]); bytes.len().div_ceil(PAGE as usize)];
    let aligned = &mut bytes_of(&mut pages)[..bytes.len()];
    aligned.copy_from_slice(&bytes);
    open.file.write_all_at(aligned, at).map_err(describe)?;
    if !bytes.is_empty() {
        model.write(at, &bytes);
    }
    Ok(())
}

fn truncate(open: &Open, size: u64) -> Outcome {
    if open.how == How::Read {
        return Ok(());
    }
    open.file.set_len(size).map_err(describe)?;
    open.model.borrow_mut().resize(size);
    Ok(())
}

fn sync(open: &Open, data_only: bool) -> Outcome {
    if data_only {
        open.file.sync_data()
    } else {
        open.file.sync_all()
    }
    .map_err(describe)?;
    let mut model = open.model.borrow_mut();
    model.synced = true;
    model.map_dirty = false;
    Ok(())
}

fn set_time(open: &Open, seconds: u32, nanoseconds: u32) -> Outcome {
    let time = Timespec {
        tv_sec: seconds.into(),
        tv_nsec: nanoseconds.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::futimens(&open.file, &times).map_err(|error| error.to_string())?;
    let mut model = open.model.borrow_mut();
    // Pages that wait to be written change the time once more.
    model.modified = (!model.map_dirty).then_some((seconds.into(), nanoseconds));
    Ok(())
}

/// Holes are for the file system to choose, but data is never in one, and all of a hole is zeros.
fn seek(open: &Open, at: u64, hole: bool) -> Outcome {
    let model = open.model.borrow();
    if model.map_dirty {
        // Nobody but the kernel knows of these pages yet.
        return Ok(());
    }
    let from = if hole {
        SeekFrom::Hole(at)
    } else {
        SeekFrom::Data(at)
    };
    let zeros = |from: u64, to: u64| model.part(from, to - from).iter().all(|byte| *byte == 0);
    match rustix::fs::seek(&open.file, from) {
        Err(rustix::io::Errno::NXIO) if at >= model.size() => Ok(()),
        Err(rustix::io::Errno::NXIO) if !hole && zeros(at, model.size()) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(found) if at >= model.size() => Err(format!("{found:#x} past the end")),
        Ok(found) if found < at || found > model.size() => Err(format!("{found:#x}")),
        Ok(found) if hole && !zeros(found, found + 1) => Err(format!("data at {found:#x}")),
        Ok(found) if !hole && !zeros(at, found) => Err(format!("data before {found:#x}")),
        Ok(_) => Ok(()),
    }
}

fn copy(from: &Open, from_at: u64, to: &Open, to_at: u64, length: u64) -> Outcome {
    let length = length.min(LARGEST - to_at);
    let same = Rc::ptr_eq(&from.model, &to.model);
    if matches!(to.how, How::Read | How::Append | How::Direct)
        || from.how == How::Direct
        || same && from_at.abs_diff(to_at) < length
    {
        return Ok(());
    }
    let bytes = from.model.borrow().part(from_at, length).to_vec();
    let (mut in_at, mut out_at) = (from_at, to_at);
    let count = rustix::fs::copy_file_range(
        &from.file,
        Some(&mut in_at),
        &to.file,
        Some(&mut out_at),
        length as usize,
    )
    .map_err(|error| error.to_string())?;
    if count > bytes.len() || count == 0 && !bytes.is_empty() {
        return Err(format!("{count} bytes copied of {}", bytes.len()));
    }
    if count > 0 {
        to.model.borrow_mut().write(to_at, &bytes[..count]);
    }
    Ok(())
}

fn map_read(map: &Map, open: &Open, at: u64, length: u64) -> Outcome {
    let model = open.model.borrow();
    let wanted = model.part(at, length);
    if wanted.is_empty() {
        return Ok(());
    }
    let found = map.read(at as usize, wanted.len()).map_err(describe)?;
    compare("mapping", &found, wanted)
}

fn map_write(map: &Map, open: &Open, at: u64, length: u64, fill: Fill, sync: bool) -> Outcome {
    let mut model = open.model.borrow_mut();
    let length = model.part(at, length).len();
    if length == 0 || open.how == How::Read {
        return Ok(());
    }
    let bytes = fill.bytes(length);
    map.write(at as usize, &bytes).map_err(describe)?;
    model.write(at, &bytes);
    model.map_dirty = true;
    if sync {
        map.sync().map_err(|error| format!("msync: {error}"))?;
        model.map_dirty = false;
    }
    Ok(())
}
