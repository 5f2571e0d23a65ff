//! A worker as the daemon has it: started, asked, and at its end.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use compcache_host::{Background, proc};
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::conversation::{Conversation, Received};
use super::link::Link;
use crate::own_program::Program;
use crate::protocol::{Message, ProtocolError};
use crate::role::Role;

/// How long a worker may take to be ready: a busy machine starts programs slowly.
const BEGIN: Duration = Duration::from_secs(60);
/// How long it may take for an answer that it need not wait for.
const QUICK: Duration = Duration::from_secs(3);
/// Time between two looks at a worker that somebody waits for.
const WATCH: Duration = Duration::from_secs(1);
/// How long one that was killed may take to be gone; then a thread of it waits in the kernel.
const DEATH: Duration = Duration::from_secs(5);
/// Time between two looks whether it is gone.
const LOOK: Duration = Duration::from_millis(20);
/// pidfd_open(2): of a thread, whose end it tells although others still wait in the kernel. Linux 6.9.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
/// Conversations that are kept for the next orders.
const IDLE: usize = 4;

/// A process that does a part of the daemon's work.
#[derive(Debug)]
pub(super) struct Worker {
    pid: u32,
    started: Instant,
    handle: OwnedFd,
    link: Link,
    /// The conversation of its events: whoever waits for one is woken when this is shut down.
    events: UnixStream,
    /// A thread of it that ends when it is killed, even if others wait in the kernel.
    thread: u32,
    /// For what is answered at once. Innermost, but held until the answer has come, or 3 s.
    quick: Mutex<Exchange>,
    /// Innermost: conversations in which no answer is to come.
    idle: Mutex<Vec<Conversation>>,
    /// It is not wanted any more: its end is no accident.
    retired: AtomicBool,
    /// Innermost. Once set it stays.
    gone: Mutex<bool>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Exchange {
    conversation: Option<Conversation>,
    /// An answer is still to come that nobody waits for any more.
    pending: bool,
}

/// What a worker that has started consists of besides.
pub(super) struct Started {
    /// To be waited for.
    pub(super) child: Child,
    /// Where its events come.
    pub(super) events: Conversation,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It does not answer in time: it was stopped, or hangs.
    #[error("it does not answer")]
    Silent,
    /// It has ended, or has closed the conversation.
    #[error("it has ended, or has no descriptor or thread left (its log says which)")]
    Closed,
    /// The conversation cannot be begun.
    #[error("it cannot be reached: {0}")]
    Open(#[from] io::Error),
    /// What comes is no answer.
    #[error(transparent)]
    Protocol(ProtocolError),
}

impl From<ProtocolError> for CallError {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::Io(_) | ProtocolError::Truncated => CallError::Closed,
            error => CallError::Protocol(error),
        }
    }
}

impl Worker {
    /// Starts a process of this program for `role`, tells it `begin` and gives it `more`, and waits until it says that it
    /// has `begun`, of which that gives the number of a thread that waits for nothing but the process's end.
    /// `runtime_dir` is on its command line only so that users see whose it is.
    ///
    /// # Errors
    /// If the system starts no process, or that does not say so in time.
    pub(super) fn start<B: Message, E: Message>(
        role: Role,
        runtime_dir: &Path,
        begin: &B,
        more: BorrowedFd<'_>,
        begun: impl FnOnce(E) -> Option<u32>,
    ) -> io::Result<(Worker, Started)> {
        let (link, other) = Link::pair()?;
        let mut command = Program::Daemon.again();
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let mut child = command
            .args(["--worker", role.name(), "--runtime-dir"])
            .arg(runtime_dir)
            .env_remove("NOTIFY_SOCKET")
            .stdin(other)
            .stdout(Stdio::null())
            // What the daemon's terminal sends is for the daemon, which ends it.
            .process_group(0)
            .spawn()?;
        let prepared = (|| {
            let pid = Pid::from_child(&child);
            let handle = pidfd_open(pid, PidfdFlags::empty())?;
            let mut events = link.open(Some(more))?;
            events.send(begin).map_err(io::Error::other)?;
            let thread = match events.receive::<E>(Some(BEGIN)) {
                Ok(Received::Message(event)) => begun(event),
                Ok(Received::Nothing) => {
                    let seconds = BEGIN.as_secs();
                    let message = format!("it was not ready within {seconds} s");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Ok(Received::End) | Err(_) => None,
            };
            let not_ready = || io::Error::other("it ended before it was ready: see the log");
            let thread = thread.ok_or_else(not_ready)?;
            let quick = link.open(None)?;
            Ok((handle, events, quick, thread))
        })();
        let (handle, events, quick, thread) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = child.kill();
                let status = child.wait();
                let how = status.map_or_else(|_| String::new(), describe);
                return Err(io::Error::new(error.kind(), format!("{error} ({how})")));
            }
        };
        let worker = Worker {
            pid: child.id(),
            started: Instant::now(),
            handle,
            link,
            events: events.handle()?,
            thread,
            quick: Mutex::new(Exchange {
                conversation: Some(quick),
                pending: false,
            }),
            idle: Mutex::default(),
            retired: AtomicBool::new(false),
            gone: Mutex::new(false),
            changed: Condvar::new(),
        };
        Ok((worker, Started { child, events }))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How long it has run.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks for what takes as long as it takes; but if nothing at all is answered for so long, the worker is killed.
    ///
    /// # Errors
    /// [`CallError`]: `Silent` if it was killed.
    pub(super) fn ask_or_kill<O: Message, A: Message>(
        &self,
        order: &O,
        ping: &O,
        patience: Duration,
    ) -> Result<A, CallError> {
        let mut heard = Instant::now();
        let answered = self.ask_while(order, |worker| {
            if worker.quick::<O, A>(ping).is_ok() {
                heard = Instant::now();
            }
            heard.elapsed() < patience
        });
        if matches!(answered, Err(CallError::Silent)) {
            self.kill();
        }
        answered
    }

    /// Asks, and waits for as long as `go_on` says, which is called once a second.
    ///
    /// # Errors
    /// [`CallError`]: `Silent` if it says no more.
    pub(super) fn ask_while<O: Message, A: Message>(
        &self,
        order: &O,
        mut go_on: impl FnMut(&Worker) -> bool,
    ) -> Result<A, CallError> {
        let idle = self.idle.lock().pop();
        let mut conversation = match idle {
            Some(conversation) => conversation,
            None => self.link.open(None)?,
        };
        conversation.send(order)?;
        loop {
            match conversation.receive(Some(WATCH))? {
                Received::Message(answer) => {
                    let mut idle = self.idle.lock();
                    if idle.len() < IDLE {
                        idle.push(conversation);
                    }
                    return Ok(answer);
                }
                Received::End => return Err(CallError::Closed),
                Received::Nothing if go_on(self) => {}
                Received::Nothing => return Err(CallError::Silent),
            }
        }
    }

    /// Asks for what is answered at once, and waits for 3 s at most; not at all while an earlier answer is
    /// still to come.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) fn quick<O: Message, A: Message>(&self, order: &O) -> Result<A, CallError> {
        let mut quick = self.quick.lock();
        let Exchange {
            conversation,
            pending,
        } = &mut *quick;
        let open = match conversation {
            Some(open) => open,
            None => conversation.insert(self.link.open(None)?),
        };
        let asked = (|| {
            if *pending {
                match open.receive::<A>(Some(Duration::ZERO))? {
                    Received::Message(_) => *pending = false,
                    Received::Nothing => return Err(CallError::Silent),
                    Received::End => return Err(CallError::Closed),
                }
            }
            open.send(order)?;
            match open.receive(Some(QUICK))? {
                Received::Message(answer) => Ok(answer),
                Received::Nothing => {
                    *pending = true;
                    Err(CallError::Silent)
                }
                Received::End => Err(CallError::Closed),
            }
        })();
        match &asked {
            Ok(_) => {}
            // One whose threads are dead but for one that waits in the kernel says nothing any more.
            Err(CallError::Silent) if self.is_dying() => self.kill(),
            Err(CallError::Silent) => {}
            Err(_) => *quick = Exchange::default(),
        }
        asked
    }

    /// Waits for the end of a thread that does not wait for sources, and has whoever waits for its events go on: the
    /// process has been killed then. Returns at once on a kernel that can't tell.
    pub(super) fn watch_thread(&self) {
        let pid = i32::try_from(self.thread).ok().and_then(Pid::from_raw);
        let Some(Ok(thread)) = pid.map(|pid| pidfd_open(pid, PIDFD_THREAD)) else {
            return;
        };
        let mut polled = [PollFd::new(&thread, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = poll(&mut polled, None) {}
        self.kill();
    }

    /// Whether it has exited or was killed, although threads of it still wait in the kernel.
    fn is_dying(&self) -> bool {
        let stat = proc::of(self.pid, "stat").unwrap_or_default();
        let state = proc::stat_fields(&stat).and_then(|mut fields| fields.next());
        state == Some(b"Z")
    }

    /// Ends it at once; whoever waits for its events goes on.
    pub(super) fn kill(&self) {
        // Both fail only if it is gone.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        let _ = self.events.shutdown(std::net::Shutdown::Both);
    }

    /// Ends it because nobody needs it any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.kill();
    }

    /// Whether it was [retired](Worker::retire).
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Waits until it is gone, or 5 s if a thread of it waits in the kernel. For whoever has seen the end of its
    /// events.
    pub(super) fn reap(&self, mut child: Child) -> Death {
        self.kill();
        let until = Instant::now() + DEATH;
        let mut is_gone = true;
        let how = loop {
            match child.try_wait() {
                Ok(Some(status)) => break describe(status),
                Ok(None) if Instant::now() < until => thread::sleep(LOOK),
                Ok(None) => {
                    // So that it is not left when it is gone at last.
                    let wait = move || drop(child.wait());
                    if let Ok(thread) = Background::start("reap", wait, || ()) {
                        thread.detach();
                    }
                    is_gone = false;
                    break "was killed, and waits in the kernel for a source that does not answer"
                        .to_owned();
                }
                Err(e) => break format!("is gone ({e})"),
            }
        };
        *self.gone.lock() = true;
        self.changed.notify_all();
        Death { how, is_gone }
    }

    /// Waits until whoever buries it has done so, for so long at most.
    pub(super) fn wait(&self, within: Duration) {
        let mut gone = self.gone.lock();
        self.changed
            .wait_while_for(&mut gone, |gone| !*gone, within);
    }
}

/// The end of a worker.
#[derive(Debug)]
pub(super) struct Death {
    /// How it has ended.
    pub(super) how: String,
    /// Whether it is gone, and what it had open with it: not while a thread of it waits in the kernel.
    pub(super) is_gone: bool,
}

/// How a process has ended.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
            format!("was killed by signal {signal} ({name})")
        }
        (None, None) => "ended".to_owned(),
    }
}
