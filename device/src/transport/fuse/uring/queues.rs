//! The thread that serves the queues of some CPUs by a ring of its own.

use compcache_host::memory::NotLocked;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use io_uring::{IoUring, cqueue, squeue};

use super::super::handler::{Handler, become_batch_task, touch_stack};
use super::super::mount::abort;
use super::entry::{Entry, Memory};
use super::plan::Thread;
use crate::error::DeviceError;

/// With what errors entries come back when the connection has ended: those that waited for a
/// request, and those whose reply nobody waits for any more.
const TOLD_AT_THE_END: [i32; 4] = [
    libc::ENOTCONN,
    libc::ECONNABORTED,
    libc::ENOENT,
    libc::ECANCELED,
];

type Ring = IoUring<squeue::Entry128, cqueue::Entry>;

/// What one thread serves with.
pub(in super::super) struct Queues {
    // Before the entries: the kernel must not use their memory when it goes.
    ring: Ring,
    entries: Vec<Entry>,
    /// How many entries the kernel has not given back for good.
    live: usize,
    handler: Handler,
}

/// Ends the connection when it is dropped: nobody serves the queues of this thread any more,
/// and their requests shall not wait for ever.
struct AbortOnDrop<'a>(&'a Path);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        abort(self.0);
    }
}

impl Queues {
    /// Makes the ring and the memory.
    pub(in super::super) fn new(
        thread: &Thread,
        max_io: usize,
        handler: Handler,
    ) -> Result<Self, DeviceError> {
        let entries: Vec<_> = thread
            .entries
            .iter()
            .map(|&qid| Entry::new(qid, max_io))
            .collect::<Result<_, _>>()?;
        let size = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let ring = IoUring::builder()
            // Only the thread that enables it uses it, and the kernel works for it (copies
            // requests) only when this thread waits.
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(size)
            .map_err(|e| {
                let remedy = match e.raw_os_error() {
                    Some(libc::EPERM) => {
                        "allow it (sysctl kernel.io_uring_disabled), or choose the transport fuse"
                    }
                    _ => "choose the transport fuse",
                };
                DeviceError::system("make an io_uring", e, remedy)
            })?;
        Ok(Queues {
            ring,
            live: entries.len(),
            entries,
            handler,
        })
    }

    /// Whether the memory is locked.
    pub(in super::super) fn locked(&self) -> Result<(), NotLocked> {
        self.entries.iter().try_for_each(Entry::locked)
    }

    /// Registers the entries with the connection, says by `registered` whether that worked,
    /// and answers requests until the file system at `path` is unmounted.
    pub(in super::super) fn run(
        mut self,
        fuse: Arc<OwnedFd>,
        path: &Path,
        registered: impl FnOnce(io::Result<()>),
    ) {
        touch_stack();
        become_batch_task();
        let guard = AbortOnDrop(path);
        let begun = self.register(&fuse);
        // The ring has the descriptor now.
        drop(fuse);
        let failed = begun.is_err();
        registered(begun);
        if failed {
            return;
        }
        match self.serve() {
            Ok(()) => std::mem::forget(guard),
            Err(error) => tracing::error!("serving by io_uring: {error}"),
        }
    }

    /// Registers the entries.
    fn register(&mut self, fuse: &OwnedFd) -> io::Result<()> {
        let submitter = self.ring.submitter();
        submitter.register_enable_rings()?;
        submitter.register_files(&[fuse.as_raw_fd()])?;
        let memory: Vec<Memory> = self.entries.iter_mut().map(Entry::memory).collect();
        for (n, (entry, memory)) in self.entries.iter().zip(&memory).enumerate() {
            push(
                &mut self.ring.submission(),
                entry.register(memory).user_data(n as u64),
            )?;
        }
        self.ring.submit()?;
        // One that is refused completes at once.
        self.complete()?;
        if self.live == self.entries.len() {
            Ok(())
        } else {
            Err(io::Error::other("the kernel refused an entry"))
        }
    }

    /// Answers requests until the kernel has given back all entries.
    fn serve(&mut self) -> io::Result<()> {
        while self.live > 0 {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
                Err(e) => return Err(e),
            }
            self.complete()?;
        }
        Ok(())
    }

    /// Answers the requests that have come, and queues the replies.
    fn complete(&mut self) -> io::Result<()> {
        let (_, mut submissions, completions) = self.ring.split();
        for completion in completions {
            let n = completion.user_data();
            let Some(entry) = self.entries.get_mut(n as usize) else {
                continue;
            };
            match -completion.result() {
                ..=0 => {
                    let reply = entry.answer(&mut self.handler);
                    push(&mut submissions, reply.user_data(n))?;
                }
                error => {
                    self.live -= 1;
                    if !TOLD_AT_THE_END.contains(&error) {
                        let error = io::Error::from_raw_os_error(error);
                        tracing::error!("the kernel gave back an entry of a queue: {error}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// Queues a command.
fn push(
    submissions: &mut squeue::SubmissionQueue<'_, squeue::Entry128>,
    command: squeue::Entry128,
) -> io::Result<()> {
    // SAFETY: the command's memory is that of an entry, which lives as long as the ring, or
    // (REGISTER's list of it) until the command is submitted.
    unsafe { submissions.push(&command) }
        // There is room for a command for each entry.
        .map_err(|_| io::Error::other("the submission queue is full"))
}
