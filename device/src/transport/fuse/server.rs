//! A mounted file and the threads that answer the kernel's requests.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use compcache_host::Background;
use compcache_host::memory::NotLocked;

use super::buffer::{Buffer, MAX_IO};
use super::classic::Session;
use super::handler::Handler;
use super::mount::{Connection, Mount};
use super::serving::Serving;
use super::uring::Queues;
use super::uring::parameter::{self, Handshake};
use super::uring::plan::Plan;
use crate::disk::Disk;
use crate::error::DeviceError;

/// A mounted file and the threads that serve it.
pub(crate) struct Server {
    mount: Mount,
    /// They end when the mount does.
    threads: Vec<Background>,
    serving: Arc<Serving>,
    /// Whether the memory for requests is locked.
    locked: Result<(), NotLocked>,
}

/// What is served, where, and by how many threads.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// The regular file that is made for it.
    pub(crate) path: &'a Path,
    /// What the threads are called after.
    pub(crate) name: &'a str,
    pub(crate) workers: usize,
}

impl Server {
    /// Mounts and serves over the classic channel.
    pub(crate) fn classic(job: Job<'_>) -> Result<Self, DeviceError> {
        let (mount, connection) = Mount::new(job.path, MAX_IO, false)?;
        let mut server = Server {
            mount,
            threads: Vec::new(),
            serving: Serving::new(job.name),
            locked: Ok(()),
        };
        for n in 0..job.workers {
            let buffer = Buffer::new(MAX_IO)?;
            server.locked = server.locked.and(buffer.locked());
            server.read(job, &connection, buffer, format!("io-{n}"))?;
        }
        // Only the workers hold the connection now: requests would fail, not wait for ever,
        // if all of them ended.
        drop(connection);
        server.serving.set_wanted(true);
        Ok(server)
    }

    /// Mounts and serves over io_uring. With `switch_on`, the kernel's parameter is switched
    /// on for as long as the handshake takes.
    pub(crate) fn uring(job: Job<'_>, switch_on: bool) -> Result<Self, DeviceError> {
        let plan = Plan::of_this_machine(job.workers)?;
        // All that can fail comes before the handshake as far as possible: after it, requests
        // wait until every queue is there.
        let queues: Vec<_> = plan
            .threads
            .iter()
            .map(|thread| Queues::new(thread, plan.max_io, Handler::new(job.disk)?))
            .collect::<Result<_, _>>()?;
        let buffer = Buffer::new(plan.max_io)?;
        let locked = queues.iter().try_for_each(Queues::locked);
        let handshake = Handshake::begin(switch_on)?;
        let (mount, connection) = Mount::new(job.path, plan.max_io, true)?;
        drop(handshake);
        if !connection.uring {
            return Err(parameter::unsupported("the kernel did not offer it"));
        }
        let mut server = Server {
            mount,
            threads: Vec::new(),
            serving: Serving::new(job.name),
            locked: locked.and(buffer.locked()),
        };
        // What does not come over the rings: interrupts, which need no answer.
        server.read(job, &connection, buffer, "io".to_owned())?;
        let (sender, receiver) = mpsc::channel();
        let fuse = Arc::new(connection.try_clone()?);
        drop(connection);
        for (n, queues) in queues.into_iter().enumerate() {
            let (fuse, sender) = (Arc::clone(&fuse), sender.clone());
            let path = PathBuf::from(job.path);
            server.spawn(job, format!("io-{n}"), move || {
                queues.run(fuse, &path, move |registered| {
                    // The receiver is gone only if another thread has failed.
                    let _ = sender.send(registered);
                });
            })?;
        }
        // From here on only the rings hold the connection.
        drop((fuse, sender));
        let registered: io::Result<()> = receiver.iter().collect();
        registered.map_err(|e| DeviceError::system("register FUSE's io_uring queues", e, None))?;
        server.serving.set_wanted(true);
        Ok(server)
    }

    /// Starts a thread that reads requests from the connection.
    fn read(
        &mut self,
        job: Job<'_>,
        connection: &Connection,
        buffer: Buffer,
        thread: String,
    ) -> Result<(), DeviceError> {
        let session = Session {
            fuse: connection.try_clone()?,
            handler: Handler::new(job.disk)?,
            buffer,
        };
        self.spawn(job, thread, move || session.serve())
    }

    fn spawn(
        &mut self,
        job: Job<'_>,
        thread: String,
        serve: impl FnOnce() + Send + 'static,
    ) -> Result<(), DeviceError> {
        let served = self.serving.begin();
        let serve = move || {
            let _served = served;
            serve();
        };
        let thread = Background::start(format!("{}/{thread}", job.name), serve, || ())
            .map_err(|e| DeviceError::system("start a worker thread", e, None))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Whether the memory for requests is locked.
    pub(crate) fn locked(&self) -> Result<(), NotLocked> {
        self.locked
    }

    /// Whether requests are still answered.
    pub(crate) fn is_serving(&self) -> bool {
        self.serving.is_serving()
    }

    /// Opens the file.
    pub(crate) fn open_file(&self) -> Result<File, DeviceError> {
        self.mount.open_file()
    }

    /// Unmounts, and waits until the threads have finished what they work on.
    pub(crate) fn stop(&mut self) -> Result<(), DeviceError> {
        self.serving.set_wanted(false);
        if let Err(error) = self.mount.unmount() {
            self.serving.set_wanted(true);
            return Err(error);
        }
        self.threads.clear();
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!("{error}");
            // While it is mounted, the threads do not end: they go on.
            self.threads.drain(..).for_each(Background::detach);
        }
    }
}
