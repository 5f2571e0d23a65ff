//! The process of the mounts: does what the daemon orders, each order by a thread of its own.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use compcache_files::{Budget, MountOptions};
use compcache_host::counts::{Count, SharedCounts};
use compcache_host::keeper::Keeper;
use compcache_host::printable::Printable;
use compcache_host::spawn_detached;
use parking_lot::{Condvar, Mutex};
use rustix::fs::Mode;

use super::conversation::{Conversation, Received};
use super::lifetime::Lifetime;
use super::link::{Accepted, Link};
use super::message::{Answer, Begin, Event, MountId, Order, Taken};
use crate::args::MESSAGE_PREFIX;
use crate::backend::{MountBackend, Mounted};
use crate::clean_start::{LimitTooLow, clean_start, ignore_signals};
use crate::file_system::FileSystem;
use crate::mounts::end_all;
use crate::protocol::{ErrorCode, ProtocolError, Refusal};
use crate::role::Role;
use crate::server::STACK;
use crate::types::{CpuLatency, Ending};
use crate::{confinement, logging, process};

/// How long a mount may take to be there, if it is to be ended.
const ARRIVAL: Duration = Duration::from_secs(10);
/// What programs that show processes call this one: 15 bytes at most.
const NAME: &std::ffi::CStr = c"compcache-mount";
/// What stands before its messages in the log.
const LOG_NAME: &str = "mounts";

/// Runs a worker until its daemon ends it or is gone; gives its exit status.
pub(crate) fn run(role: Role) -> ExitCode {
    let Role::Mounts = role;
    match begin() {
        Ok(running) => running.serve(),
        Err(error) => {
            eprintln!("{MESSAGE_PREFIX}mount process: {}", Printable(error));
            ExitCode::FAILURE
        }
    }
}

/// Why a worker did not begin.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error(
        "--worker is how the daemon starts a process of its own: it is not for the command line"
    )]
    ByHand,
    #[error(transparent)]
    Limit(#[from] LimitTooLow),
    #[error("the daemon is gone")]
    Orphan,
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0}")]
    Log(String),
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

fn begin() -> Result<Running, BeginError> {
    let system = |what| move |e| BeginError::System(what, e);
    let clean = clean_start(false)?;
    // Only the daemon ends it: by its death, or by one that cannot be ignored.
    ignore_signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    let link = take_link().map_err(|_| BeginError::ByHand)?;
    let Ok(Accepted::Conversation(mut events, Some(counts))) = link.accept() else {
        return Err(BeginError::ByHand);
    };
    let Received::Message(begin) = events.receive::<Begin>(None)? else {
        return Err(BeginError::Orphan);
    };
    logging::begin_as(Some(LOG_NAME), begin.verbose, &begin.log).map_err(BeginError::Log)?;
    // A name is all that it is for.
    let _ = rustix::thread::set_name(NAME);
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // The daemon has reported already what the kernel refused it: this process has the same rights.
    let mut refused = clean.warnings;
    let mut confined = Vec::new();
    if rustix::process::geteuid().is_root() {
        refused.extend(process::set_up(&begin.process));
        confined = confinement::mounts();
    }
    for warning in refused {
        tracing::debug!("{warning}");
    }
    for warning in confined {
        tracing::warn!("{warning}");
    }
    let lifetime = Lifetime::begin(&begin.lock, begin.daemon).map_err(system("lock its file"))?;
    let counts = SharedCounts::of(counts).map_err(system("map the counts of dirty pages"))?;
    let setting = begin.cpu_latency.parse().unwrap_or_default();
    let latency = CpuLatency::start(setting).unwrap_or_else(|e| {
        tracing::debug!("/dev/cpu_dma_latency: {e}");
        None
    });
    let budget = Arc::new(Budget::new(begin.memory_limit));
    let (sender, happened) = channel();
    let asked = sender.clone();
    let limit = begin.memory_limit.map(|_| {
        Keeper::start("limit", budget.asked(), move || {
            // Without a receiver the process is ending.
            let _ = asked.send(WorkerEvent::ShareAsked);
            false
        })
    });
    let served = Arc::new(Served {
        file_system: FileSystem::new(latency.map(Arc::new)),
        budget,
        counts: Arc::new(counts),
        mounts: Mutex::default(),
        arrived: Condvar::new(),
        happened: sender,
    });
    Ok(Running {
        link,
        _limit: limit.transpose().map_err(system("start a thread"))?,
        served,
        events,
        happened,
        lifetime,
        daemon: begin.daemon,
    })
}

/// The end of the link that the daemon has given to this process as its standard input.
fn take_link() -> io::Result<Link> {
    let stdin = io::stdin();
    rustix::net::sockopt::socket_type(&stdin)?;
    let link: OwnedFd = stdin.as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(Link::of(link))
}

/// A worker that has begun.
struct Running {
    link: Link,
    _limit: Option<Keeper>,
    served: Arc<Served>,
    events: Conversation,
    happened: Receiver<WorkerEvent>,
    lifetime: Lifetime,
    daemon: u32,
}

/// What its threads share.
struct Served {
    file_system: FileSystem,
    budget: Arc<Budget>,
    counts: Arc<SharedCounts>,
    /// `None` while it is being made, which its maker ends. Not held over what is ordered; outside of the locks of a
    /// mount's contents.
    mounts: Mutex<HashMap<MountId, Option<Arc<dyn Mounted>>>>,
    /// Notified when a mount that was being made is there, or is not.
    arrived: Condvar,
    happened: Sender<WorkerEvent>,
}

/// What the daemon is to know.
enum WorkerEvent {
    Ended(MountId),
    ShareAsked,
}

impl Running {
    /// Serves until the daemon is gone.
    fn serve(self) -> ExitCode {
        let Running {
            link,
            _limit,
            served,
            mut events,
            happened,
            lifetime,
            daemon,
        } = self;
        let notifier = Arc::clone(&served);
        let tell = move || {
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            let begun = Event::Begun {
                thread: thread.cast_unsigned(),
            };
            // If the daemon is gone, nobody needs to know; so below.
            let _ = events.send(&begun);
            for event in happened {
                let event = match event {
                    WorkerEvent::Ended(mount) => notifier.over(mount),
                    WorkerEvent::ShareAsked => Some(Event::ShareAsked),
                };
                let _ = event.map(|event| events.send(&event));
            }
        };
        if let Err(e) = spawn_detached("events", STACK, tell) {
            tracing::error!("no thread for events: {e}");
            return ExitCode::FAILURE;
        }
        loop {
            match link.accept() {
                Ok(Accepted::Conversation(conversation, _)) => {
                    let served = Arc::clone(&served);
                    if let Err(e) =
                        spawn_detached("order", STACK, move || served.serve(conversation))
                    {
                        tracing::error!("no thread for an order: {e}");
                    }
                }
                Ok(Accepted::Dropped) => tracing::error!("no descriptor for an order"),
                Ok(Accepted::End) => break,
                Err(e) => {
                    tracing::error!("the link to the daemon: {e}");
                    break;
                }
            }
        }
        let lost = served.end(daemon);
        // A thread that waits in the kernel may keep this process for ever.
        drop(lifetime);
        if lost {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl Served {
    /// Does what a conversation orders until that ends.
    fn serve(&self, mut conversation: Conversation) {
        loop {
            let order = match conversation.receive::<Order>(None) {
                Ok(Received::Message(order)) => order,
                Ok(_) => return,
                Err(e) => return tracing::error!("an order of the daemon: {e}"),
            };
            let answer = self.obey(order).unwrap_or_else(Answer::Refused);
            if let Err(e) = conversation.send(&answer) {
                return tracing::debug!("an answer to the daemon: {e}");
            }
        }
    }

    fn obey(&self, order: Order) -> Result<Answer, Refusal> {
        let mount = match order {
            Order::Ping => return Ok(Answer::Done),
            Order::Taken { taken } => {
                self.take(taken);
                return Ok(Answer::Done);
            }
            Order::Mount {
                mount,
                count,
                options,
                taken,
            } => {
                self.take(taken);
                return self.mount(mount, count, *options);
            }
            Order::Status { mount }
            | Order::Sync { mount }
            | Order::Unmount { mount, .. }
            | Order::End { mount } => mount,
        };
        let Some(mounted) = self.mounts.lock().get(&mount).cloned().flatten() else {
            return Ok(Answer::Gone);
        };
        match order {
            Order::Status { .. } => {
                let status = Box::new(mounted.status());
                return Ok(Answer::Status { status });
            }
            Order::Unmount { lazy, .. } => mounted.unmount(lazy)?,
            Order::End { .. } => {
                let ending = mounted.end();
                return Ok(Answer::Ended { ending });
            }
            _ => mounted.sync()?,
        }
        Ok(Answer::Done)
    }

    /// What is taken of the memory limit, as the daemon says.
    fn take(&self, taken: Taken) {
        self.budget.set_swap(taken.swap);
        self.budget.set_caches(taken.caches);
    }

    fn mount(
        &self,
        mount: MountId,
        count: usize,
        options: MountOptions,
    ) -> Result<Answer, Refusal> {
        let Some(dirty_pages) = Count::shared(Arc::clone(&self.counts), count) else {
            let message = format!("there is no count {count} of dirty pages");
            return Err(Refusal::new(ErrorCode::Eproto, message));
        };
        let options = MountOptions {
            budget: Some(Arc::clone(&self.budget)),
            dirty_pages,
            ..options
        };
        self.mounts.lock().insert(mount, None);
        let happened = self.happened.clone();
        let on_end = Box::new(move || {
            // Without a receiver the process is ending.
            let _ = happened.send(WorkerEvent::Ended(mount));
        });
        let made = self.file_system.start(options, on_end);
        let mut mounts = self.mounts.lock();
        let answer = match made {
            Ok(mounted) => {
                let mounted: Arc<dyn Mounted> = Arc::from(mounted);
                let status = Box::new(mounted.status());
                mounts.insert(mount, Some(mounted));
                Ok(Answer::Status { status })
            }
            Err(refusal) => {
                mounts.remove(&mount);
                Err(refusal)
            }
        };
        self.arrived.notify_all();
        answer
    }

    /// Forgets a mount that is over; what is to be said of it.
    fn over(&self, mount: MountId) -> Option<Event> {
        let mounted = {
            let mut mounts = self.mounts.lock();
            while let Some(None) = mounts.get(&mount) {
                self.arrived.wait(&mut mounts);
            }
            mounts.remove(&mount).flatten()?
        };
        let loss = mounted.loss();
        let unwritten = match &loss {
            Some(_) => None,
            None => mounted.sync().err(),
        };
        Some(Event::Ended {
            mount,
            loss: loss.map(|loss| (*loss).clone()),
            unwritten,
        })
    }

    /// Ends all mounts, whatever their sources do: whether something was lost. There are some only if the daemon
    /// has died.
    fn end(&self, daemon: u32) -> bool {
        let all = || -> Vec<Arc<dyn Mounted>> {
            let mounts = self.mounts.lock();
            mounts.values().flatten().cloned().collect()
        };
        {
            // Those that were being made are to be ended, too.
            let mut mounts = self.mounts.lock();
            let comes = |mounts: &mut HashMap<_, Option<_>>| mounts.values().any(Option::is_none);
            self.arrived.wait_while_for(&mut mounts, comes, ARRIVAL);
        }
        let mut lost = false;
        let mut ended = all();
        if !ended.is_empty() {
            tracing::warn!(
                "the daemon (pid {daemon}) is gone: its mounts are written out and unmounted"
            );
        }
        // The second time, those that were in use: programs may have written to them meanwhile.
        for _ in 0..2 {
            let endings = end_all(&ended.iter().map(|mounted| &**mounted).collect::<Vec<_>>());
            lost |= endings
                .iter()
                .any(|ending| matches!(ending, Ending::GivenUp(_)));
            let detached = |ending: &Ending| *ending == Ending::Detached;
            let endings = endings.iter().map(detached);
            ended = ended
                .into_iter()
                .zip(endings)
                .filter_map(|(mounted, detached)| detached.then_some(mounted))
                .collect();
        }
        lost
    }
}
