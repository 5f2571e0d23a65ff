//! The control socket's server: one thread accepts, each connection has one of its own, and
//! the thread that calls [`Server::run`] decides when all of it ends.

pub mod access;
pub mod admission;
mod connection;
mod event;
mod shared;

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use compcache_host::{Background, spawn_detached};
use parking_lot::Mutex;

use crate::lease::Leases;
use crate::mounts::Mounts;
use crate::protocol::{Refusal, Response};
use crate::registry::Registry;
use crate::retry::Retry;
use access::{Access, Peer};
use event::{Event, FinalAnswer};
use shared::Shared;

/// Stack in bytes of a thread for a connection or an order: both are small, and threads may be many.
pub(crate) const STACK: usize = 512 << 10;
/// How long a daemon that exits when idle waits for its first client.
const FIRST_CLIENT: Duration = Duration::from_secs(30);

/// Time between two tries to swap off a device that is leased no more. No event says when its
/// pages fit back into memory.
const ORPHAN_RETRY: Duration = Duration::from_secs(1);

/// Time between two tries to accept a connection after the system had no descriptor or memory for
/// one. No event says when it has.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Time between two messages that say so.
const ACCEPT_COMPLAINT: Duration = Duration::from_secs(60);

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may connect.
    pub access: Access,
    /// Whether to end once no device is initialised, nothing mounted and no client connected.
    pub exit_when_idle: bool,
    /// Whether a second request to end loses pages rather than stay.
    pub force: bool,
    /// What the daemon could not set up, for its status.
    pub warnings: Vec<String>,
}

/// A server that has not begun yet.
pub struct Server {
    listener: Arc<UnixListener>,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    options: Options,
}

/// Notifies a server of what happens outside of it.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was unmounted, and every device swapped off and reset.
    Clean,
    /// Pages are lost: of a device that was still in use, or of a mount whose source did not take
    /// them.
    Lost,
}

impl Server {
    /// A server of these devices and mounts behind a listening socket, which also leases devices
    /// of the kernel driver.
    #[must_use]
    pub fn new(
        listener: UnixListener,
        registry: Arc<Registry>,
        kernel: Arc<Registry>,
        mounts: Arc<Mounts>,
        options: Options,
    ) -> Server {
        let (sender, events) = channel();
        let notify = sender.clone();
        mounts.on_end(move || {
            // A server that is gone needs not know.
            let _ = notify.send(Event::Unmounted);
        });
        let shared = Shared {
            mounts,
            own: Leases::new(registry),
            kernel: Leases::new(kernel),
            access: options.access,
            events: sender,
            state: Mutex::default(),
            started: Instant::now(),
            warnings: options.warnings.clone(),
        };
        Server {
            listener: Arc::new(listener),
            shared: Arc::new(shared),
            events,
            options,
        }
    }

    /// A handle by which another thread notifies this server.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves until told to end and every mount and device is down or given up, or until forced.
    ///
    /// # Errors
    /// If the accepting thread could not be started.
    pub fn run(self) -> std::io::Result<Outcome> {
        let (listener, shared) = (self.listener.clone(), self.shared.clone());
        let shut = self.listener.clone();
        let _acceptor = Background::start(
            "accept",
            move || accept(&listener, &shared),
            move || {
                // Wakes the acceptor, whose accept(2) fails from here on.
                let _ = rustix::net::shutdown(shut.as_fd(), rustix::net::Shutdown::Both);
            },
        )?;
        Ok(self.run_event_loop())
    }

    /// Waits for events until one of them is the last.
    fn run_event_loop(&self) -> Outcome {
        let mut asked_before = false;
        // While an end that a signal asked for is put off.
        let mut retry = None;
        // Those that ended before this server could be told.
        self.shared.mounts.forget_ended();
        let mut event = self.first_event();
        loop {
            if let Event::Unmounted = event {
                self.shared.mounts.forget_ended();
            }
            match event {
                Event::SwapsChanged | Event::Retry if retry.is_some() => {
                    match self.close(true) {
                        Ok(_) => return self.outcome(),
                        Err(StayReason { refusal, .. }) => tracing::debug!("{refusal}"),
                    }
                    let begun = matches!(event, Event::SwapsChanged).then(Retry::begin);
                    retry = begun.or(retry.map(Retry::next));
                }
                Event::Disconnected | Event::Unmounted | Event::SwapsChanged | Event::Retry => {
                    if self.options.exit_when_idle && self.shared.end_if_idle() {
                        tracing::info!("nothing is in use and no client connected: exiting");
                        return self.outcome();
                    }
                }
                Event::Terminate { why } => {
                    tracing::info!("{why}: unmounting, and swapping devices off");
                    match self.close(true) {
                        Ok(_) => return self.outcome(),
                        Err(stays) if asked_before && self.options.force => {
                            stays.log();
                            tracing::error!("exiting anyway (--force): pages are lost");
                            return Outcome::Lost;
                        }
                        Err(stays) => {
                            stays.log();
                            self.explain_stay(asked_before);
                            retry = Some(Retry::begin());
                        }
                    }
                    asked_before = true;
                }
                Event::Shutdown { force, answer } => {
                    tracing::info!(
                        "a client asked to shut down: unmounting, and swapping devices off"
                    );
                    let (response, outcome) = match self.close(force) {
                        Ok(warnings) => (Response::Done { warnings }, Some(self.outcome())),
                        Err(stays) if force => {
                            stays.log();
                            let refusal = stays.refusal;
                            tracing::error!("exiting anyway (force): pages are lost");
                            let warnings = vec![format!("pages were lost: {refusal}")];
                            (Response::Done { warnings }, Some(Outcome::Lost))
                        }
                        Err(stays) => {
                            stays.log();
                            (Response::Error(stays.refusal), None)
                        }
                    };
                    let (sent, wait) = channel();
                    // If the client is gone by now, nothing is to be sent or waited for.
                    let _ = answer.send(FinalAnswer {
                        response,
                        _sent: sent,
                    });
                    drop(answer);
                    let _ = wait.recv();
                    if let Some(outcome) = outcome {
                        return outcome;
                    }
                }
            }
            event = self.next_event(retry);
        }
    }

    fn first_event(&self) -> Event {
        if !self.options.exit_when_idle {
            return self.next_event(None);
        }
        let until = Instant::now() + FIRST_CLIENT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                // What others do with swap does not end the wait.
                Ok(Event::SwapsChanged) => {}
                Ok(event) => return event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Event::Disconnected;
                }
            }
        }
    }

    /// The next event. While it waits, it gives back a device whose lease ended when its pages
    /// did not fit back; that is an event too, since the server may be idle then. So is the time of a
    /// `retry`.
    fn next_event(&self, retry: Option<Retry>) -> Event {
        let gone = || Event::Terminate {
            why: "nobody can reach this server".into(),
        };
        let Shared { own, kernel, .. } = &*self.shared;
        loop {
            let orphan = own.has_orphan() || kernel.has_orphan();
            let left = retry.map(Retry::left);
            let wait = match left.into_iter().chain(orphan.then_some(ORPHAN_RETRY)).min() {
                Some(wait) => self.events.recv_timeout(wait),
                None => self.events.recv().map_err(RecvTimeoutError::from),
            };
            match wait {
                Ok(event) => return event,
                Err(RecvTimeoutError::Disconnected) => return gone(),
                // An end takes the leased devices down, too.
                Err(RecvTimeoutError::Timeout) if retry.is_some_and(Retry::is_due) => {
                    return Event::Retry;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let done = own.retire_orphan().and(kernel.retire_orphan());
                    match done {
                        Ok(()) => return Event::Disconnected,
                        Err(refusal) => tracing::debug!("{refusal}"),
                    }
                }
            }
        }
    }

    /// How the server has ended if everything is down.
    fn outcome(&self) -> Outcome {
        if self.shared.mounts.lost() {
            Outcome::Lost
        } else {
            Outcome::Clean
        }
    }

    /// Takes every mount down, then every device. If mounts `must_end`, those in use are written out and
    /// taken out of the tree, and those whose sources do not take dirty pages given up; what is returned
    /// names both. Devices never are.
    fn close(&self, must_end: bool) -> Result<Vec<String>, StayReason> {
        let Shared {
            mounts,
            own,
            kernel,
            ..
        } = &*self.shared;
        let mut failed = Vec::new();
        let mut warnings = Vec::new();
        if must_end {
            warnings = mounts.end();
        } else if let Err(refusals) = mounts.close() {
            failed = refusals;
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        // With a mount that stays the daemon stays, and its swap with it.
        if failed.is_empty() {
            failed.extend(kernel.close().err());
            let devices = own.registry().close().err().unwrap_or_default();
            failed.extend(devices.into_iter().map(|(_, refusal)| refusal));
            if !failed.is_empty() {
                mounts.reopen();
            }
        }
        let messages = failed.iter().map(Refusal::to_string).collect();
        Refusal::join(failed).map_or(Ok(warnings), |refusal| {
            Err(StayReason { refusal, messages })
        })
    }

    fn explain_stay(&self, asked_before: bool) {
        let force = match (self.options.force, asked_before) {
            (true, _) => " (the next signal ends this daemon anyway, and loses pages)",
            (false, _) => " (only with --force would a second signal end it, and lose pages)",
        };
        tracing::error!(
            "staying, because pages of running programs would be lost: stop programs or add other swap; \
             this daemon tries again by itself{force}"
        );
    }
}

impl Handle {
    /// Ends the server as soon as every device can be swapped off; mounts whose sources do not take dirty
    /// pages are given up. `why` goes to the log.
    pub fn terminate(&self, why: &str) {
        // A server that is gone needs no end.
        let _ = self.shared.events.send(Event::Terminate {
            why: why.to_owned(),
        });
    }

    /// A swap area was added to the kernel's table or has gone from it. Waits for those who are
    /// changing a device. Returns whether one could not be reset yet that others have swapped off; `again`:
    /// so it was before, and this is another try.
    pub fn swaps_changed(&self, again: bool) -> bool {
        let kept = self.shared.own.give_back(again) | self.shared.kernel.give_back(again);
        let _ = self.shared.events.send(Event::SwapsChanged);
        kept
    }
}

/// Why the server stays.
struct StayReason {
    /// All refusals as one.
    refusal: Refusal,
    messages: Vec<String>,
}

impl StayReason {
    fn log(&self) {
        for message in &self.messages {
            tracing::error!("{message}");
        }
    }
}

/// Accepts connections until the listener is shut down.
fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    let mut complained: Option<Instant> = None;
    loop {
        let error = match listener.accept() {
            Ok((stream, _)) => {
                spawn_connection(stream, shared);
                continue;
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            // The peer was gone before it was accepted.
            Some(libc::EINTR | libc::ECONNABORTED) => continue,
            // The listener was shut down.
            Some(libc::EINVAL) => return,
            _ => {}
        }
        // EMFILE, ENFILE, ENOMEM, ENOBUFS: the client stays in the queue until there is room.
        if complained.is_none_or(|at| at.elapsed() >= ACCEPT_COMPLAINT) {
            complained = Some(Instant::now());
            tracing::error!("the control socket has to wait: {error}; trying again");
        }
        thread::sleep(ACCEPT_RETRY);
    }
}

/// Starts a thread for a connection.
fn spawn_connection(stream: UnixStream, shared: &Arc<Shared>) {
    let Some((stream, peer)) = connection::admit(stream, shared) else {
        return;
    };
    let entered = {
        let mut state = shared.state.lock();
        if state.ending {
            return;
        }
        state.connections.enter(peer)
    };
    if let Err(refusal) = entered {
        connection::reject(stream, refusal);
        return;
    }
    let guard = ConnectionGuard(shared.clone(), peer);
    let serve = move || connection::serve(stream, &guard.0);
    if let Err(e) = spawn_detached("client", STACK, serve) {
        tracing::error!("no thread for a connection: {e}");
    }
}

/// Counts a connection for as long as it lives.
struct ConnectionGuard(Arc<Shared>, Peer);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.state.lock().connections.leave(self.1);
        // A server that is gone needs not know.
        let _ = self.0.events.send(Event::Disconnected);
    }
}
