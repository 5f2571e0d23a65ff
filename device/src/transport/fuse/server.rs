//! The worker threads that answer the kernel's requests.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use compcache_engine::Worker;
use rustix::io::Errno;

use super::MAX_IO;
use super::abi::{BEFORE_DATA, Fallocate, IN_HEADER, InHeader, Io, ROOT, Reply, op};
use super::buffer::{Buffer, DATA_AT, REQUEST_AT};
use super::mount::Mount;
use crate::disk::Disk;
use crate::error::DeviceError;

/// Bytes of stack that a worker touches before it serves.
const STACK: usize = 128 << 10;

/// A mounted file and the threads that serve it.
pub(crate) struct Server {
    mount: Mount,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Mounts `disk` as the regular file `path` and serves it with `workers` threads.
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        path: &Path,
        name: &str,
        workers: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Self, DeviceError> {
        let (mount, connection) = Mount::new(path)?;
        let mut server = Server {
            mount,
            threads: Vec::new(),
        };
        for n in 0..workers {
            let buffer = Buffer::new(warnings).map_err(|source| DeviceError::Memory {
                what: "a worker's buffer",
                bytes: (DATA_AT + MAX_IO) as u64,
                source,
            })?;
            let session = Session {
                fuse: connection.try_clone()?,
                worker: disk.worker(),
                disk: Arc::clone(disk),
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("{name}/io-{n}"))
                .spawn(move || session.serve(buffer))
                .map_err(|e| DeviceError::system("start a worker thread", e, ""))?;
            server.threads.push(thread);
        }
        // Only the workers hold the connection now: requests would fail, not wait for ever,
        // if all of them ended.
        drop(connection);
        Ok(server)
    }

    /// Opens the file.
    pub(crate) fn open_file(&self) -> Result<File, DeviceError> {
        self.mount.open_file()
    }

    /// Unmounts, and waits until the threads have finished what they work on.
    pub(crate) fn stop(&mut self) -> Result<(), DeviceError> {
        // Where it can't be unmounted, the threads would not end: they go on.
        self.mount.unmount()?;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!("{error}");
        }
    }
}

/// What one worker thread serves with.
struct Session {
    fuse: OwnedFd,
    worker: Worker,
    disk: Arc<dyn Disk>,
    uid: u32,
    gid: u32,
}

/// Makes the pages of the stack resident, so that no request waits for one.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box(&mut [1_u8; STACK]);
}

impl Session {
    /// Answers requests until the file system is unmounted.
    fn serve(mut self, mut buffer: Buffer) {
        touch_stack();
        loop {
            match rustix::io::read(&self.fuse, &mut buffer[REQUEST_AT..]) {
                Ok(len) => self.answer(&mut buffer, len),
                // ENOENT: the request was withdrawn while it was read.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                // Unmounted, or the connection was aborted.
                Err(Errno::NODEV | Errno::CONNABORTED) => return,
                Err(errno) => {
                    tracing::error!("reading from /dev/fuse: {}", io::Error::from(errno));
                    return;
                }
            }
        }
    }

    /// Answers the request of `len` bytes in the buffer.
    fn answer(&mut self, buffer: &mut [u8], len: usize) {
        let (head, data) = buffer.split_at_mut(DATA_AT);
        let Some(head) = head
            .get(REQUEST_AT..)
            .and_then(|h| h.get(..len.min(BEFORE_DATA)))
        else {
            return;
        };
        let Some(header) = InHeader::parse(head) else {
            tracing::error!("the kernel sent a request of {len} bytes");
            return;
        };
        let unique = header.unique;
        let args = &head[IN_HEADER..];
        let reply = match header.opcode {
            op::READ => return self.read(unique, Io::parse(args), data),
            op::WRITE => {
                let data = data
                    .get(..len.saturating_sub(BEFORE_DATA))
                    .unwrap_or_default();
                self.write(unique, Io::parse(args), data)
            }
            op::FALLOCATE => self.fallocate(unique, Fallocate::parse(args)),
            op::GETATTR if header.nodeid == ROOT => {
                Reply::attributes(unique, self.disk.size_bytes(), self.uid, self.gid)
            }
            op::OPEN => Reply::opened(unique),
            op::STATFS => Reply::statfs(unique, self.disk.size_bytes()),
            op::RELEASE | op::DESTROY => Reply::error(unique, 0),
            op::LOOKUP | op::GETATTR => Reply::error(unique, libc::ENOENT),
            op::SETATTR => Reply::error(unique, libc::EPERM),
            // These have no reply. No request waits here, so there is none to interrupt.
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return,
            // After ENOSYS the kernel does not ask again. That includes FSYNC and FLUSH: a
            // write is done when it is answered.
            _ => Reply::error(unique, libc::ENOSYS),
        };
        self.send(&[IoSlice::new(reply.bytes())]);
    }

    fn read(&mut self, unique: u64, io: Io, data: &mut [u8]) {
        let done = match data.get_mut(..io.size as usize) {
            Some(data) => match self.disk.read(&mut self.worker, io.offset, data) {
                Ok(()) => Ok(&*data),
                Err(error) => Err(error.errno()),
            },
            None => Err(libc::EINVAL),
        };
        match done {
            Ok(data) => {
                let reply = Reply::data(unique, data.len());
                self.send(&[IoSlice::new(reply.bytes()), IoSlice::new(data)]);
            }
            Err(errno) => self.send(&[IoSlice::new(Reply::error(unique, errno).bytes())]),
        }
    }

    fn write(&mut self, unique: u64, io: Io, data: &[u8]) -> Reply {
        if io.size as usize != data.len() {
            return Reply::error(unique, libc::EINVAL);
        }
        match self.disk.write(&mut self.worker, io.offset, data) {
            Ok(()) => Reply::written(unique, io.size),
            Err(error) => Reply::error(unique, error.errno()),
        }
    }

    fn fallocate(&mut self, unique: u64, range: Fallocate) -> Reply {
        if !range.zeroes() {
            return Reply::error(unique, libc::EOPNOTSUPP);
        }
        match self.disk.discard(&mut self.worker, range.offset, range.len) {
            Ok(()) => Reply::error(unique, 0),
            Err(error) => Reply::error(unique, error.errno()),
        }
    }

    /// Sends a reply.
    fn send(&self, parts: &[IoSlice<'_>]) {
        match rustix::io::writev(&self.fuse, parts) {
            // ENOENT: nobody waits for the reply any more.
            Ok(_) | Err(Errno::NOENT | Errno::NODEV | Errno::CONNABORTED) => {}
            Err(errno) => {
                tracing::error!("replying to /dev/fuse: {}", io::Error::from(errno));
            }
        }
    }
}
