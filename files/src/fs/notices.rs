//! Notifications to the kernel: to drop pages that are stale, and inodes that
//! were looked up long ago.
//!
//! It takes locks of its own for that, which may be held by whoever waits for one of our answers:
//! so a thread of its own speaks to it, that no request ever waits for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fuser::{INodeNo, Notifier};

use crate::inode::{Inode, Table};

/// `FUSE_NOTIFY_PRUNE` (Linux 6.18): drop these inodes if nobody uses them.
const PRUNE: u32 = 9;

/// Inodes that the kernel is asked at once to drop.
const BATCH: usize = 512;

/// Time between two times that it is asked to.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest time between two times, while it drops none.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When the kernel is asked next to drop inodes. It forgets in its own time, and not what programs use: so less
/// and less often while there are not fewer, and in the end no more until it has looked another one up.
#[derive(Debug)]
struct Pace {
    next: Instant,
    pause: Duration,
    /// How many there were too many when it was asked last.
    excess: usize,
    /// It was asked for long enough.
    resting: bool,
}

impl Pace {
    fn new() -> Self {
        Pace {
            next: Instant::now(),
            pause: PAUSE,
            excess: usize::MAX,
            resting: false,
        }
    }

    /// When to ask next, if at all, with so many too many.
    fn next(&self, excess: usize) -> Option<Instant> {
        (excess > 0 && !self.resting).then_some(self.next)
    }

    /// It has looked one up, which makes too many.
    fn looked_up(&mut self) {
        self.resting = false;
    }

    /// It is asked now, with so many too many.
    fn ask(&mut self, excess: usize) {
        if excess < self.excess {
            self.pause = PAUSE;
        } else {
            self.resting = self.pause >= LONGEST_PAUSE;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.excess = excess;
        self.next = Instant::now() + self.pause;
    }
}

/// What the thread is to do.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The pages of this node are stale.
    Stale(u64),
    /// The kernel knows too many inodes.
    TooMany,
    /// A file was opened, and none was open before.
    Opened,
    /// End.
    Stop,
}

/// How files that stay open are compared with SOURCE: reads that the kernel answers by itself do
/// not ask us.
pub(crate) struct Watch<'a> {
    /// Time between two calls.
    pub(crate) period: Duration,
    /// Looks, and says whether a file is open still.
    pub(crate) revalidate: &'a (dyn Fn() -> bool + Sync),
}

/// Where requests leave their notices.
#[derive(Debug)]
pub(crate) struct Notices {
    sender: Sender<Notice>,
    /// The thread was notified that there are too many, and has not begun yet.
    forget_pending: AtomicBool,
    /// The kernel has to be asked by name to drop inodes.
    pub(crate) by_name: AtomicBool,
    notifier: OnceLock<Notifier>,
}

impl Notices {
    /// For a thread that will listen to the receiver.
    pub(crate) fn new() -> (Self, Receiver<Notice>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let notices = Notices {
            sender,
            forget_pending: AtomicBool::new(false),
            by_name: AtomicBool::new(false),
            notifier: OnceLock::new(),
        };
        (notices, receiver)
    }

    /// The kernel's pages of the node are stale.
    pub(crate) fn stale(&self, node: u64) {
        self.send(Notice::Stale(node));
    }

    /// The kernel's attributes of the node are stale. It takes no lock for this that a request
    /// could hold, so that the notification goes out at once.
    pub(crate) fn stale_attributes(&self, node: u64) {
        let sent = self
            .notifier
            .get()
            .map(|notifier| notifier.inval_inode(INodeNo(node), -1, 0));
        if let Some(Err(e)) = sent {
            tracing::debug!("the kernel refuses a notice: {e}");
        }
    }

    /// A file was opened, and none was open before.
    pub(crate) fn opened(&self) {
        self.send(Notice::Opened);
    }

    /// The kernel knows too many inodes.
    pub(crate) fn too_many(&self) {
        if !self.forget_pending.swap(true, Relaxed) {
            self.send(Notice::TooMany);
        }
    }

    /// The mount is gone.
    pub(crate) fn stop(&self) {
        self.send(Notice::Stop);
    }

    fn send(&self, notice: Notice) {
        if self.sender.send(notice).is_err() {
            tracing::debug!("a notice after the end of the mount");
        }
    }

    /// Takes the way to the kernel, and finds out how that can be asked to drop inodes: by name
    /// wherever `by_name` says so.
    pub(crate) fn connect(&self, notifier: Notifier, device: &OwnedFd, by_name: bool) {
        let by_name = by_name || prune(device, &[]).is_err();
        self.by_name.store(by_name, Relaxed);
        self.notifier.get_or_init(|| notifier);
    }

    /// Handles notices until `Stop`.
    pub(crate) fn run(
        &self,
        receiver: &Receiver<Notice>,
        device: &OwnedFd,
        table: &Table,
        watch: &Watch<'_>,
    ) {
        let Some(notifier) = self.notifier.get() else {
            return;
        };
        let mut pace = Pace::new();
        let mut next_check = None;
        loop {
            let pass = pace.next(table.excess());
            let next = [pass, next_check].into_iter().flatten().min();
            let notice = match next {
                Some(next) => receiver.recv_timeout(next.saturating_duration_since(Instant::now())),
                None => receiver.recv().map_err(RecvTimeoutError::from),
            };
            let done = match notice {
                Ok(Notice::Stale(node)) => notifier.inval_inode(INodeNo(node), 0, 0),
                Ok(Notice::TooMany) => {
                    self.forget_pending.store(false, Relaxed);
                    pace.looked_up();
                    Ok(())
                }
                Ok(Notice::Opened) => {
                    next_check = next_check.or_else(|| Instant::now().checked_add(watch.period));
                    Ok(())
                }
                Err(RecvTimeoutError::Timeout) if next == next_check => {
                    let open = (watch.revalidate)();
                    next_check = Instant::now().checked_add(watch.period).filter(|_| open);
                    Ok(())
                }
                Err(RecvTimeoutError::Timeout) => {
                    pace.ask(table.excess());
                    self.drop_some(notifier, device, table)
                }
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(e) = done {
                tracing::debug!("the kernel refuses a notice: {e}");
            }
        }
    }

    /// Asks the kernel to drop what is too much, and a little more.
    fn drop_some(&self, notifier: &Notifier, device: &OwnedFd, table: &Table) -> io::Result<()> {
        table.tidy();
        let mut left = table.excess() + table.most() / 16;
        while left > 0 {
            let oldest = table.oldest(left.min(BATCH));
            if oldest.is_empty() {
                break;
            }
            left -= oldest.len();
            if self.by_name.load(Relaxed) {
                for inode in &oldest {
                    drop_by_name(notifier, inode)?;
                }
            } else {
                let nodes: Vec<u64> = oldest.iter().map(|inode| inode.node).collect();
                prune(device, &nodes)?;
            }
        }
        Ok(())
    }
}

/// Asks the kernel to drop a name. A directory's is left alone: it may be some program's working
/// directory, which would lose its path.
fn drop_by_name(notifier: &Notifier, inode: &Arc<Inode>) -> io::Result<()> {
    if inode.is_directory() {
        return Ok(());
    }
    // The lock is not held while the kernel is spoken to: a request that the kernel has to wait
    // for may want it.
    let name = inode.name.lock().clone();
    match name {
        Some(name) => notifier.inval_entry(INodeNo(name.parent), OsStr::from_bytes(&name.name)),
        None => Ok(()),
    }
}

/// Asks the kernel to drop inodes, if nobody uses them. `fuser` has no call for it.
fn prune(device: &OwnedFd, nodes: &[u64]) -> io::Result<()> {
    // struct fuse_out_header, struct fuse_notify_prune_out, nodes.
    let length = 16 + 16 + 8 * nodes.len();
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&(length as u32).to_ne_bytes());
    message.extend_from_slice(&PRUNE.to_ne_bytes());
    message.extend_from_slice(&0_u64.to_ne_bytes());
    message.extend_from_slice(&(nodes.len() as u32).to_ne_bytes());
    message.extend_from_slice(&[0; 12]);
    for node in nodes {
        message.extend_from_slice(&node.to_ne_bytes());
    }
    let written = File::from(device.try_clone()?).write(&message)?;
    if written == length {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_drops_nothing_is_asked_no_more() {
        let mut pace = Pace::new();
        let mut asked = 0;
        while pace.next(10).is_some() {
            pace.ask(10);
            asked += 1;
            assert!(asked < 20, "pause {:?}", pace.pause);
        }
        pace.looked_up();
        assert!(pace.next(11).is_some());
        pace.ask(11);
        assert!(pace.next(11).is_none(), "still none");
        assert_eq!(pace.pause, LONGEST_PAUSE);
    }

    #[test]
    fn a_kernel_that_drops_some_is_asked_until_there_are_not_too_many() {
        let mut pace = Pace::new();
        for excess in (1..100).rev() {
            assert!(pace.next(excess).is_some());
            pace.ask(excess);
            assert_eq!(pace.pause, PAUSE);
        }
        assert!(pace.next(0).is_none());
    }
}
