//! The daemon's mounts by path.
//!
//! Each mount has a lock of its own that its end takes; the lock of the table is held for the
//! moment of a look-up only. So neither a mount that takes long to come nor one that writes
//! gigabytes out before it goes holds up anybody who asks for another, or for the status.

pub mod dead;
pub mod memory;
pub mod order;
pub mod paths;
pub mod plan;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use compcache_engine::disk::PAGE;
use compcache_files::{Budget, MountOptions};
use compcache_host::Background;
use compcache_host::keeper::Keeper;
use parking_lot::{Condvar, Mutex};

use crate::backend::{MountBackend, Mounted};
use crate::protocol::{ErrorCode, Refusal};
use crate::size::human;
use crate::types::{Ending, Loss, MountStatus};

/// The most mounts of one daemon: the status of all must fit into a message.
pub const MAX_MOUNTS: usize = 256;

/// The most losses that the status tells, the newest.
const MAX_LOSSES: usize = 16;

/// All mounts of a daemon.
pub struct Mounts {
    backend: Arc<dyn MountBackend>,
    budget: Arc<Budget>,
    swap: SwapBytes,
    /// Reports to the budget what swap devices take, when a mount asks for its share of a limit.
    _reporter: Option<Keeper>,
    /// Taken under an entry's `gone`, never the other way round.
    table: Mutex<Table>,
    /// Notified when a mount that was on its way has come, or has not.
    arrived: Condvar,
    /// Called when one is over.
    ended: Arc<OnceLock<Listener>>,
    /// Those whose connection was aborted, and that may still be in the tree.
    aborted: Mutex<Vec<Aborted>>,
    /// They have to end, whatever their sources do.
    ending: AtomicBool,
    /// Something that programs have written to one is lost.
    lossy: AtomicBool,
    /// What was given up.
    losses: Mutex<VecDeque<Arc<Loss>>>,
}

/// A mount whose connection to the kernel was aborted, and that is still in the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: its FUSE connection was aborted (/sys/fs/fuse/connections): every access fails, and files \
     of a --ram mount are lost; unmount it (umount -l), and mount it again", .path.display()
)]
struct Aborted {
    path: PathBuf,
    /// Its number in the kernel's table.
    number: u64,
}

/// Gives the bytes that the swap devices take now. May wait for a device that comes or goes.
pub type SwapBytes = Arc<dyn Fn() -> u64 + Send + Sync>;

type Listener = Box<dyn Fn() + Send + Sync>;

/// Mounts by path. While the lock is free:
///
/// 1. A place that is [`Place::Mounting`] has one [`Mounting`], which ends that.
/// 2. An entry is not in both `places` and `detached`. One whose mount is over may still be in either.
/// 3. While `closing`, no further place is taken.
#[derive(Default)]
struct Table {
    places: BTreeMap<PathBuf, Place>,
    /// Taken out of the tree while in use, and not over yet.
    detached: Vec<Arc<Entry>>,
    /// Set while the daemon takes its mounts down: clients make no new ones.
    closing: bool,
}

enum Place {
    Mounting,
    Mounted(Arc<Entry>),
}

struct Entry {
    path: PathBuf,
    source: Option<PathBuf>,
    mounted: Box<dyn Mounted>,
    cache: u64,
    /// Set by the mount when it is over, whoever has unmounted it.
    ended: Arc<AtomicBool>,
    /// Whether it is out of the table; held by whoever takes it out, over unmounting and writing out. Outside of the
    /// table's lock and of those of the backend.
    gone: Mutex<bool>,
}

impl Mounts {
    /// No mounts yet. With `memory_limit`, in bytes, they share it with swap devices, which take
    /// what `swap` gives.
    ///
    /// # Errors
    /// If the system has no thread for the limit.
    pub fn new(
        backend: Box<dyn MountBackend>,
        memory_limit: Option<u64>,
        swap: SwapBytes,
    ) -> io::Result<Mounts> {
        let backend: Arc<dyn MountBackend> = Arc::from(backend);
        let budget = Arc::new(Budget::new(memory_limit));
        let reporter = memory_limit
            .map(|_| {
                let (budget, swap) = (Arc::clone(&budget), Arc::clone(&swap));
                let backend = Arc::clone(&backend);
                Keeper::start("limit", budget.asked(), move || {
                    budget.set_swap(swap());
                    backend.limit_changed(&budget);
                    false
                })
            })
            .transpose()?;
        Ok(Mounts {
            backend,
            budget,
            swap,
            _reporter: reporter,
            table: Mutex::default(),
            arrived: Condvar::new(),
            ended: Arc::default(),
            aborted: Mutex::default(),
            ending: AtomicBool::new(false),
            lossy: AtomicBool::new(false),
            losses: Mutex::default(),
        })
    }

    /// Has `listener` called, by any thread, whenever a mount is over; what is left of it goes with
    /// [`Mounts::forget_ended`]. Only the first listener counts.
    pub fn on_end(&self, listener: impl Fn() + Send + Sync + 'static) {
        let _ = self.ended.set(Box::new(listener));
    }

    /// Bytes that swap devices and mounts may take together.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.budget.limit()
    }

    /// Whether there is none, none on its way, and none that was taken out of the tree but is still
    /// in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let table = self.table.lock();
        table.places.is_empty() && table.detached.is_empty()
    }

    /// Each mount's state, by path. Waits for no mount that comes or goes.
    #[must_use]
    pub fn statuses(&self) -> Vec<MountStatus> {
        self.entries()
            .iter()
            .map(|entry| entry.mounted.status())
            .collect()
    }

    /// What a user should know: mounts whose connection was aborted, and that nobody has taken away since;
    /// what they have to write out before they end; and what was given up.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = {
            let mut aborted = self.aborted.lock();
            aborted.retain(|mount| dead::number(&mount.path) == Some(mount.number));
            aborted.iter().map(ToString::to_string).collect()
        };
        if self.ending.load(Ordering::Relaxed) {
            let ending = self.statuses().into_iter().map(|mount| {
                format!(
                    "{}: has to end, and has {} left to write out; what its source does not take is \
                     given up when it has taken nothing for its give-up-after",
                    mount.mountpoint,
                    human(mount.dirty_pages * PAGE)
                )
            });
            warnings.extend(ending);
        }
        warnings.extend(self.backend.warnings());
        let losses = self.losses.lock();
        warnings.extend(losses.iter().map(ToString::to_string));
        warnings
    }

    /// Whether something that programs have written to a mount was lost.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.lossy.load(Ordering::Relaxed) || self.backend.lost()
    }

    /// The process that serves the mounts, if that is another one and there is one now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.backend.pid()
    }

    /// Ends what serves mounts, as this process is about to exit.
    pub fn stop(&self) {
        self.backend.stop();
    }

    /// Makes a mount.
    ///
    /// # Errors
    /// `EBUSY` if there is one at this path, and those of mounting; nothing is changed then.
    pub fn mount(&self, options: MountOptions) -> Result<MountStatus, Refusal> {
        self.forget_ended();
        let path = options.mountpoint.clone();
        self.take_place(&path)?;
        let mut mounting = Mounting {
            mounts: self,
            path: &path,
            entry: None,
        };
        if self.budget.limit().is_some() {
            // The first share that it asks for is right.
            self.budget.set_swap((self.swap)());
        }
        let (source, cache) = (options.source.clone(), options.limits.cache);
        let ended = Arc::new(AtomicBool::new(false));
        let on_end = {
            let (ended, listener) = (ended.clone(), self.ended.clone());
            Box::new(move || {
                ended.store(true, Ordering::Release);
                if let Some(on_unmount) = listener.get() {
                    on_unmount();
                }
            })
        };
        let options = MountOptions {
            budget: Some(self.budget.clone()),
            ..options
        };
        let mounted = self.backend.start(options, on_end)?;
        let status = mounted.status();
        mounting.entry = Some(Arc::new(Entry {
            path: path.clone(),
            source,
            mounted,
            cache,
            ended,
            gone: Mutex::new(false),
        }));
        drop(mounting);
        // The listener may have been notified before the entry was there to be forgotten.
        self.forget_ended();
        Ok(status)
    }

    /// Writes a mount's dirty pages out and takes it away.
    ///
    /// # Errors
    /// `ENOENT` if there is none at this path; `EBUSY` while it is in use, unless `lazy`; those
    /// of writing out. The mount stays then.
    pub fn unmount(&self, path: &Path, lazy: bool) -> Result<(), Refusal> {
        let entry = self.entry(path)?;
        let mut gone = entry.gone.lock();
        if *gone {
            return Err(not_mounted(path));
        }
        entry.mounted.unmount(lazy)?;
        *gone = true;
        self.remove(&entry, lazy);
        Ok(())
    }

    /// Writes out the dirty pages of the mount at this path, or of all.
    ///
    /// # Errors
    /// `ENOENT` if there is none at this path; the failures of writing out.
    pub fn sync(&self, path: Option<&Path>) -> Result<(), Refusal> {
        let entries = match path {
            Some(path) => vec![self.entry(path)?],
            None => self.entries(),
        };
        let failed = entries
            .iter()
            .filter_map(|entry| entry.mounted.sync().err())
            .collect();
        Refusal::join(failed).map_or(Ok(()), Err)
    }

    /// Forgets the mounts that are over, and writes out what is dirty in those that somebody else
    /// has unmounted.
    pub fn forget_ended(&self) {
        for entry in self.entries().into_iter().filter(|e| e.has_ended()) {
            let mut gone = entry.gone.lock();
            if std::mem::replace(&mut *gone, true) {
                continue;
            }
            let path = entry.path.display();
            if entry.mounted.is_explained() {
                self.remove(&entry, false);
                continue;
            }
            if let Some(number) = dead::left(&entry.path) {
                let path = entry.path.clone();
                let aborted = Aborted { path, number };
                tracing::error!("{aborted}");
                self.aborted.lock().push(aborted);
            } else {
                tracing::info!("{path}: unmounted by somebody else");
            }
            if let Some(loss) = entry.mounted.loss() {
                self.note(loss);
            } else if let Err(e) = entry.mounted.sync() {
                self.lossy.store(true, Ordering::Relaxed);
                tracing::error!("{path}: what was written last is lost: {e}");
            }
            self.remove(&entry, false);
        }
        let mut table = self.table.lock();
        table.detached.retain(|entry| !entry.has_ended());
        self.count(&table);
    }

    /// Takes down every mount, and lets nobody make one from here on.
    ///
    /// # Errors
    /// One refusal for each mount that is still there: in use, or with dirty pages that its source does
    /// not take. New mounts can be made again then.
    pub fn close(&self) -> Result<(), Vec<Refusal>> {
        self.close_table();
        let mut failed = Vec::new();
        for entry in order::take_down_order(self.entries(), |entry| entry.span()) {
            match self.unmount(&entry.path, false) {
                Ok(()) => {}
                // Somebody else was quicker.
                Err(e) if e.code == ErrorCode::Enoent && *entry.gone.lock() => {}
                Err(e) => failed.push(e),
            }
        }
        failed.extend(self.detached().iter().map(|entry| entry.still_in_use()));
        if failed.is_empty() {
            return Ok(());
        }
        self.reopen();
        Err(failed)
    }

    /// Takes down every mount, whatever its source does, and lets nobody make one from here on. One that is
    /// in use is written out and taken out of the tree, so that only programs that have files open
    /// there lose it. One whose source takes no dirty pages for too long is given up, and they are lost.
    /// Each of both is named in what is returned.
    pub fn end(&self) -> Vec<String> {
        self.ending.store(true, Ordering::Relaxed);
        self.backend.must_end(true);
        self.close_table();
        let mut warnings = Vec::new();
        let entries = self.entries();
        for (entry, ending) in entries.iter().zip(end_all(&served(&entries))) {
            // Not waited for: whoever is unmounting it may wait for its source.
            if let Some(mut gone) = entry.gone.try_lock() {
                *gone = true;
            }
            self.remove(entry, ending == Ending::Detached);
            if let Ending::GivenUp(loss) = ending {
                warnings.push(loss.to_string());
                self.note(loss);
            }
        }
        // Meanwhile programs have written to them, and other mounts to those that are their sources.
        let detached = self.detached();
        for (entry, ending) in detached.iter().zip(end_all(&served(&detached))) {
            match ending {
                Ending::Unmounted => {}
                Ending::Detached => warnings.push(format!(
                    "{}: was in use and is unmounted anyway; its dirty pages are written out, but \
                     programs that have files open there cannot use them any more",
                    entry.path.display()
                )),
                Ending::GivenUp(loss) => {
                    warnings.push(loss.to_string());
                    self.note(loss);
                    let given_up = |other: &Arc<Entry>| Arc::ptr_eq(other, entry);
                    self.table.lock().detached.retain(|e| !given_up(e));
                }
            }
        }
        // By a thread of its own: those of a mount may wait for its source, and are waited for.
        if let Err(e) = Background::start("over", move || drop((entries, detached)), || ())
            .map(Background::detach)
        {
            tracing::debug!("no thread that frees mounts: {e}");
        }
        warnings
    }

    /// Lets nobody make a mount from here on, and waits for those that are on their way.
    fn close_table(&self) {
        let mut table = self.table.lock();
        table.closing = true;
        while table.places.values().any(|p| matches!(p, Place::Mounting)) {
            self.arrived.wait(&mut table);
        }
    }

    /// Those that were taken out of the tree while in use, and are not over.
    fn detached(&self) -> Vec<Arc<Entry>> {
        let table = self.table.lock();
        let there = table.detached.iter().filter(|entry| !entry.has_ended());
        there.cloned().collect()
    }

    /// Keeps what was given up, for the status.
    fn note(&self, loss: Arc<Loss>) {
        self.lossy.store(true, Ordering::Relaxed);
        let mut losses = self.losses.lock();
        losses.push_back(loss);
        if losses.len() > MAX_LOSSES {
            losses.pop_front();
        }
    }

    /// Lets new mounts be made again, after a [`Mounts::close`] that had worked, or [`Mounts::end`].
    pub fn reopen(&self) {
        self.ending.store(false, Ordering::Relaxed);
        self.backend.must_end(false);
        self.table.lock().closing = false;
    }

    /// Reserves a path for a mount that is about to come.
    fn take_place(&self, path: &Path) -> Result<(), Refusal> {
        let mut table = self.table.lock();
        if table.closing {
            return Err(Refusal::closing());
        }
        if table.places.contains_key(path) {
            let path = path.display();
            let message = format!(
                "{path} is already a compcache mount: unmount it first with `compcache umount \
                 {path}`"
            );
            return Err(Refusal::new(ErrorCode::Ebusy, message));
        }
        if table.places.len() >= MAX_MOUNTS {
            let message = format!(
                "this daemon has {MAX_MOUNTS} mounts, which is the limit: unmount some, or start \
                 another daemon with another --runtime-dir"
            );
            return Err(Refusal::new(ErrorCode::Enospc, message));
        }
        table.places.insert(path.to_owned(), Place::Mounting);
        Ok(())
    }

    fn entry(&self, path: &Path) -> Result<Arc<Entry>, Refusal> {
        match self.table.lock().places.get(path) {
            Some(Place::Mounted(entry)) => Ok(entry.clone()),
            _ => Err(not_mounted(path)),
        }
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let table = self.table.lock();
        let there = |place: &Place| match place {
            Place::Mounted(entry) => Some(entry.clone()),
            Place::Mounting => None,
        };
        table.places.values().filter_map(there).collect()
    }

    /// Takes an entry out of the table; one that was unmounted lazily stays until it is over.
    fn remove(&self, entry: &Arc<Entry>, lazy: bool) {
        let mut table = self.table.lock();
        let same = |place: &Place| matches!(place, Place::Mounted(e) if Arc::ptr_eq(e, entry));
        if table.places.get(&entry.path).is_some_and(same) {
            table.places.remove(&entry.path);
        }
        // The end of one that is over by now may have been reported already.
        if lazy && !entry.has_ended() {
            table.detached.push(entry.clone());
        }
        self.count(&table);
    }

    /// Reports the mounts that there are to the budget.
    fn count(&self, table: &Table) {
        let there = table.places.values().filter_map(|place| match place {
            Place::Mounted(entry) => Some(entry),
            Place::Mounting => None,
        });
        let all = there.chain(&table.detached).map(|entry| entry.cache);
        self.budget.set_caches(all.fold(0, u64::saturating_add));
        if self.budget.limit().is_some() {
            self.budget.asked().wake();
        }
    }
}

impl Entry {
    fn span(&self) -> order::Span {
        order::Span {
            source: self.source.clone(),
            mountpoint: self.path.clone(),
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Why a mount that is out of the tree is not over.
    fn still_in_use(&self) -> Refusal {
        let message = format!(
            "{}: was unmounted lazily, and programs still have files open there: close them",
            self.path.display()
        );
        Refusal::new(ErrorCode::Ebusy, message)
    }
}

/// What serves these.
fn served(entries: &[Arc<Entry>]) -> Vec<&dyn Mounted> {
    entries.iter().map(|entry| &*entry.mounted).collect()
}

/// Ends mounts, all at once, so that those whose sources do not answer take no longer than one; how each
/// has ended, in their order.
pub(crate) fn end_all(mounts: &[&dyn Mounted]) -> Vec<Ending> {
    thread::scope(|scope| {
        let spawn = |mount| {
            let builder = thread::Builder::new().name("end".into());
            builder.spawn_scoped(scope, move || Mounted::end(mount))
        };
        let threads: Vec<_> = mounts.iter().copied().map(spawn).collect();
        let endings = threads.into_iter().zip(mounts);
        endings
            .map(|(thread, mount)| match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // Without a thread they take longer.
                Err(_) => mount.end(),
            })
            .collect()
    })
}

/// The place of a mount that is on its way. When this goes, the mount is there or the place free.
struct Mounting<'a> {
    mounts: &'a Mounts,
    path: &'a Path,
    entry: Option<Arc<Entry>>,
}

impl Drop for Mounting<'_> {
    fn drop(&mut self) {
        let mut table = self.mounts.table.lock();
        match self.entry.take() {
            Some(entry) => table
                .places
                .insert(entry.path.clone(), Place::Mounted(entry)),
            None => table.places.remove(self.path),
        };
        self.mounts.count(&table);
        self.mounts.arrived.notify_all();
    }
}

fn not_mounted(path: &Path) -> Refusal {
    let message = format!(
        "{} is not a compcache mount of this daemon: `compcache mount` lists those that are",
        path.display()
    );
    Refusal::new(ErrorCode::Enoent, message)
}
