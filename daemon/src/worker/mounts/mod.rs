//! Mounts that another process serves: the daemon's side.
//!
//! The process is started with the first mount and ended with the last one, which gives its memory back. If it
//! dies, what was lost with its mounts is said; those that show a directory stay in the tree, dead, until they are
//! made again by a new process (`again`), the others are taken out of it.
//!
//! Locks, outermost first: `remaking`, `starting`, `state`, and a record's place. The process is spoken to under
//! none of the last two, so that neither the status nor its death waits for its answer.

mod journal;
mod record;
mod remote;
mod remount;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use compcache_files::{Budget, MountOptions};
use compcache_host::Background;
use compcache_host::counts::SharedCounts;
use parking_lot::{Condvar, Mutex};

use self::journal::Journal;
use self::record::{End, OnEnd, Record};
use self::remote::Remote;
use self::remount::Deaths;
use super::conversation::Received;
use super::lifetime;
pub use super::message::Begin;
use super::message::{Answer, Event, MountId, Order, Taken};
use super::process::{CallError, Started, Worker};
use crate::backend::{MountBackend, Mounted};
use crate::mounts::dead;
use crate::protocol::{ErrorCode, Refusal};
use crate::role::Role;
use crate::types::{Loss, MountStatus};

/// The most mounts whose dirty pages are counted: more than a daemon has, with those that were taken out of the
/// tree while in use.
const MOST: usize = 4096;
/// How long a mount waits for one at the same place that the process of a daemon that has died still writes
/// out.
const PREVIOUS: Duration = Duration::from_secs(60);
/// Time between two looks whether it still does.
const LOOK: Duration = Duration::from_millis(50);
/// How long a mount that is on its way is waited for if all have to end.
const LATE: Duration = Duration::from_secs(10);
/// How long a process that was killed may take to be gone when the daemon exits.
const STOP: Duration = Duration::from_secs(2);

/// Makes mounts in a process of their own.
pub struct MountProcess(Arc<Supervisor>);

/// The process, and the mounts that it serves or is to serve.
struct Supervisor {
    /// What each process is sent at its start.
    begin: Begin,
    runtime_dir: PathBuf,
    /// Dirty pages of each mount, as the process counts them, or has left them when it died.
    dirty: Arc<SharedCounts>,
    /// Only records' places are taken under it.
    state: Mutex<State>,
    /// Notified when a mount that waits is not to be made again.
    changed: Condvar,
    /// Held by who starts a process, until it is ready.
    starting: Mutex<()>,
    /// Held by who makes mounts again, over pauses and starts.
    remaking: Mutex<()>,
    /// Innermost.
    journal: Mutex<Journal>,
    lossy: AtomicBool,
}

/// The process and its mounts. While the lock is free:
///
/// 1. A record that is not [ended](record::Phase::Ended) is in `records`.
/// 2. The count of each record is in `counts`, and no other record's. One of a mount that was given up stays there
///    until there is no record.
/// 3. A process that a record is [on](record::Phase::On) is `worker`, unless `stopped`.
/// 4. With a record, or with somebody asking, the process is not retired, unless `stopped`.
/// 5. All ids are below `next`.
#[derive(Default)]
struct State {
    worker: Option<Arc<Worker>>,
    records: BTreeMap<MountId, Arc<Record>>,
    next: MountId,
    /// The counts that are in use.
    counts: BTreeSet<usize>,
    deaths: Deaths,
    /// When mounts that wait are made again.
    next_try: Option<Instant>,
    budget: Option<Arc<Budget>>,
    /// Since when all mounts have to end.
    ending: Option<Instant>,
    /// How many wait for an answer of the process.
    asking: usize,
    /// The daemon is about to exit.
    stopped: bool,
}

/// Why a mount was not made.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    #[error("{0}")]
    Refused(Refusal),
    #[error("cannot start the process that serves mounts: {0}")]
    Start(io::Error),
    #[error("the mount process (pid {0}): {1}; try again")]
    CallError(u32, CallError),
}

impl From<NotMade> for Refusal {
    fn from(error: NotMade) -> Refusal {
        match error {
            NotMade::Refused(refusal) => refusal,
            error => Refusal::new(ErrorCode::Eio, error.to_string()),
        }
    }
}

impl MountProcess {
    /// No process yet: each is sent `begin` at its start. On its command line stands `runtime_dir`.
    ///
    /// # Errors
    /// If the system has no memory for the counts of dirty pages.
    pub fn new(begin: Begin, runtime_dir: &Path) -> io::Result<MountProcess> {
        Ok(MountProcess(Arc::new(Supervisor {
            begin,
            runtime_dir: runtime_dir.to_owned(),
            dirty: Arc::new(SharedCounts::new(MOST)?),
            state: Mutex::default(),
            changed: Condvar::new(),
            starting: Mutex::default(),
            remaking: Mutex::default(),
            journal: Mutex::default(),
            lossy: AtomicBool::new(false),
        })))
    }
}

impl MountBackend for MountProcess {
    fn start(&self, options: MountOptions, on_end: OnEnd) -> Result<Box<dyn Mounted>, Refusal> {
        let supervisor = &self.0;
        supervisor.wait_for_previous(&options.mountpoint)?;
        let record = supervisor.enter(options, on_end)?;
        if let Err(error) = supervisor.make(&record) {
            record.drop_on_end();
            supervisor.finish(&record, End::default());
            if matches!(error, NotMade::CallError(_, CallError::Closed)) {
                // What a process that died meanwhile may have left.
                let _ = dead::clean(&record.options.mountpoint);
            }
            return Err(error.into());
        }
        Ok(Box::new(Remote {
            supervisor: Arc::clone(supervisor),
            record,
        }))
    }

    fn limit_changed(&self, budget: &Budget) {
        let taken = taken_of(budget);
        if let Some(worker) = self.0.current() {
            // One that does not answer asks again once it does.
            let _ = worker.quick::<_, Answer>(&Order::Taken { taken });
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.0.journal.lock().sentences();
        if let Some(worker) = self.0.current()
            && matches!(
                worker.quick::<_, Answer>(&Order::Ping),
                Err(CallError::Silent)
            )
        {
            let pid = worker.pid();
            warnings.push(format!(
                "the mount process (pid {pid}) does not answer: programs on its mounts wait, and their status is \
                 stale; if it was stopped, resume it (kill -CONT {pid}); if it hangs, kill it \
                 (kill -KILL {pid}), and its mounts are made again"
            ));
        }
        warnings.extend(self.0.waiting_warning());
        warnings
    }

    fn lost(&self) -> bool {
        self.0.lossy.load(Ordering::Relaxed)
    }

    fn pid(&self) -> Option<u32> {
        self.0.current().map(|worker| worker.pid())
    }

    fn must_end(&self, ending: bool) {
        let mut state = self.0.state.lock();
        state.ending = ending.then(Instant::now);
    }

    fn stop(&self) {
        let worker = {
            let mut state = self.0.state.lock();
            state.stopped = true;
            state.worker.take()
        };
        self.0.changed.notify_all();
        if let Some(worker) = worker {
            worker.retire();
            worker.wait(STOP);
        }
    }
}

impl Supervisor {
    /// The process that there is now.
    fn current(&self) -> Option<Arc<Worker>> {
        self.state.lock().worker.clone()
    }

    /// Waits until no process of a daemon that has died has a mount at `path`.
    fn wait_for_previous(&self, path: &Path) -> Result<(), Refusal> {
        let begun = Instant::now();
        loop {
            let other = lifetime::of_others(&self.begin.lock, self.begin.daemon);
            let Some(pid) = other.unwrap_or_default() else {
                return Ok(());
            };
            if !dead::is_mounted(path).unwrap_or(false) {
                return Ok(());
            }
            if begun.elapsed() >= PREVIOUS {
                let message = format!(
                    "{} is still a mount of process {pid}, whose daemon is gone: it writes out what is dirty \
                     and unmounts; wait until it has ended, or kill it (kill -KILL {pid}), which loses that",
                    path.display()
                );
                return Err(Refusal::new(ErrorCode::Ebusy, message));
            }
            thread::sleep(LOOK);
        }
    }

    /// Notes a mount that is about to be made.
    fn enter(&self, options: MountOptions, on_end: OnEnd) -> Result<Arc<Record>, Refusal> {
        let mut state = self.state.lock();
        let free = (0..MOST).find(|count| !state.counts.contains(count));
        let Some(count) = free else {
            let message = format!(
                "{MOST} mounts are still in use or could not be ended, which is the limit: close the files that \
                 programs have open there"
            );
            return Err(Refusal::new(ErrorCode::Enospc, message));
        };
        state.counts.insert(count);
        state.budget.clone_from(&options.budget);
        let id = state.next;
        state.next += 1;
        let record = Arc::new(Record::new(id, count, options, on_end));
        state.records.insert(id, Arc::clone(&record));
        Ok(record)
    }

    /// Makes a mount that is [`Phase::Making`]; starts the process if there is none.
    fn make(self: &Arc<Self>, record: &Arc<Record>) -> Result<(), NotMade> {
        let worker = self.worker().map_err(NotMade::Start)?;
        if let Some(dirty) = self.dirty.get(record.count) {
            dirty.store(0, Ordering::Relaxed);
        }
        let taken = record.options.budget.as_deref().map(taken_of);
        let order = Order::Mount {
            mount: record.id,
            count: record.count,
            options: Box::new(record.options.clone()),
            taken: taken.unwrap_or_default(),
        };
        let unanswered = |why| NotMade::CallError(worker.pid(), why);
        let answer = worker.ask_while(&order, |_| {
            let ending = self.state.lock().ending;
            ending.is_none_or(|since| since.elapsed() < LATE)
        });
        let status = match answer.map_err(unanswered)? {
            Answer::Status { status } => status,
            Answer::Refused(refusal) => return Err(NotMade::Refused(refusal)),
            other => {
                let message =
                    format!("the mount process does not say what it has mounted: {other:?}");
                return Err(NotMade::Refused(Refusal::new(ErrorCode::Eproto, message)));
            }
        };
        let number = dead::number(&record.options.mountpoint);
        let state = self.state.lock();
        // If it has died since, who buries it knows nothing of this mount (3 of `State`).
        let is_there = state
            .worker
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &worker));
        if !is_there {
            return Err(unanswered(CallError::Closed));
        }
        record.made(worker, *status, number);
        Ok(())
    }

    /// The process; started if there is none.
    fn worker(self: &Arc<Self>) -> io::Result<Arc<Worker>> {
        let _one = self.starting.lock();
        {
            let state = self.state.lock();
            if state.stopped {
                return Err(io::Error::other("the daemon is exiting"));
            }
            if let Some(worker) = &state.worker {
                return Ok(Arc::clone(worker));
            }
        }
        let (worker, started) = Worker::start(
            Role::Mounts,
            &self.runtime_dir,
            &self.begin,
            self.dirty.as_fd(),
            |event| match event {
                Event::Begun { thread } => Some(thread),
                _ => None,
            },
        )?;
        let worker = Arc::new(worker);
        tracing::info!("mounts are served by process {}", worker.pid());
        self.state.lock().worker = Some(Arc::clone(&worker));
        let watched = Arc::clone(&worker);
        let exit = Background::start("mounts/exit", move || watched.watch_thread(), || ());
        match exit {
            Ok(thread) => thread.detach(),
            // Its end is noticed later, if a thread of it waits in the kernel.
            Err(e) => tracing::debug!("no thread that watches the mount process: {e}"),
        }
        let (supervisor, watched) = (Arc::clone(self), Arc::clone(&worker));
        let watch = move || supervisor.watch(&watched, started);
        match Background::start("mounts/watch", watch, || ()) {
            Ok(thread) => thread.detach(),
            Err(e) => {
                self.state.lock().worker = None;
                worker.retire();
                return Err(e);
            }
        }
        Ok(worker)
    }

    /// Hears what a process tells, until it is gone.
    fn watch(self: &Arc<Self>, worker: &Arc<Worker>, started: Started) {
        let Started { child, mut events } = started;
        loop {
            match events.receive::<Event>(None) {
                Ok(Received::Message(Event::Ended {
                    mount,
                    loss,
                    unwritten,
                })) => self.ended(mount, loss, unwritten),
                Ok(Received::Message(Event::ShareAsked)) => {
                    let budget = self.state.lock().budget.clone();
                    if let Some(budget) = budget {
                        budget.asked().wake();
                    }
                }
                Ok(Received::Message(Event::Begun { .. }) | Received::Nothing) => {}
                Ok(Received::End) => break,
                Err(e) => {
                    tracing::error!("the mount process (pid {}): {e}", worker.pid());
                    break;
                }
            }
        }
        let age = worker.age();
        let death = worker.reap(child);
        if worker.is_retired() {
            tracing::debug!("the mount process (pid {}) {}", worker.pid(), death.how);
        } else {
            self.died(worker, &death, age);
        }
    }

    /// A mount is over, as its process says.
    fn ended(&self, mount: MountId, loss: Option<Loss>, unwritten: Option<Refusal>) {
        // One that was unmounted from here is known to be over.
        let record = self.state.lock().records.get(&mount).cloned();
        if let Some(record) = record {
            let end = End {
                loss: loss.map(Arc::new),
                unwritten,
                explained: false,
            };
            self.finish(&record, end);
        }
    }

    /// A mount is over: whoever has it is notified. With the last one the process ends.
    fn finish(&self, record: &Arc<Record>, end: End) {
        if let Some(number) = record.take_left() {
            remount::take_out(record, number);
        }
        // Threads of one that was given up may still count.
        let counts_on = end.loss.is_some();
        if !record.end(end) {
            return;
        }
        {
            let mut state = self.state.lock();
            state.records.remove(&record.id);
            if !counts_on {
                state.counts.remove(&record.count);
            }
        }
        self.changed.notify_all();
        self.retire_if_unused();
    }

    /// Ends the process if it has no mount any more and nobody waits for its answer.
    fn retire_if_unused(&self) {
        let retired = {
            let mut state = self.state.lock();
            if !state.records.is_empty() || state.asking > 0 {
                return;
            }
            state.counts.clear();
            state.worker.take()
        };
        if let Some(worker) = retired {
            worker.retire();
        }
    }

    /// Keeps the process for as long as what is returned lives.
    fn asking(&self) -> Asking<'_> {
        self.state.lock().asking += 1;
        Asking(self)
    }
}

/// Somebody who waits for an answer of the process.
struct Asking<'a>(&'a Supervisor);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.state.lock().asking -= 1;
        self.0.retire_if_unused();
    }
}

/// What a budget says is taken of the memory limit.
fn taken_of(budget: &Budget) -> Taken {
    Taken {
        swap: budget.swap(),
        caches: budget.caches(),
    }
}

/// What is known of a mount that nobody serves.
fn bare(status: &MountStatus) -> MountStatus {
    MountStatus {
        source: status.source.clone(),
        mountpoint: status.mountpoint.clone(),
        write: status.write,
        codec: status.codec.clone(),
        limit: status.limit,
        ..MountStatus::default()
    }
}
