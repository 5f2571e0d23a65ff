//! Replies to requests, common to both channels.

use std::sync::Arc;

use compcache_engine::Worker;
use compcache_host::sched;

use super::abi::{BEFORE_DATA, Fallocate, IN_HEADER, InHeader, Io, ROOT, Reply, op};
use super::buffer::{DATA_AT, REQUEST_AT};
use crate::disk::Disk;
use crate::error::DeviceError;

/// Bytes of stack that a worker touches before it serves.
const STACK: usize = 128 << 10;

/// One thread's means to answer requests.
pub(super) struct Handler {
    worker: Worker,
    disk: Arc<dyn Disk>,
    uid: u32,
    gid: u32,
}

/// The answer to a request.
pub(super) enum Answer {
    /// The kernel expects none.
    Nothing,
    /// A reply without data.
    Reply(Reply),
    /// The reply to a READ: its header, which so many bytes of the data buffer follow.
    Data(Reply, usize),
}

/// Makes the pages of the stack resident, so that no request waits for one.
#[inline(never)]
pub(super) fn touch_stack() {
    std::hint::black_box(&mut [1_u8; STACK]);
}

/// Lets this thread wait for its turn when it is woken: whoever makes requests makes all that it
/// can before they are answered, and they come at once.
pub(super) fn become_batch_task() {
    if let Err(error) = sched::set_policy(libc::SCHED_BATCH) {
        tracing::debug!("not a batch task: {error}");
    }
}

impl Handler {
    pub(super) fn new(disk: &Arc<dyn Disk>) -> Result<Self, DeviceError> {
        Ok(Handler {
            worker: disk.worker()?,
            disk: Arc::clone(disk),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        })
    }

    /// Answers the request that is in the first `len` bytes of a [`Buffer`](super::buffer::Buffer), from
    /// [`REQUEST_AT`] on. What a reply has of data is there from [`DATA_AT`] on.
    pub(super) fn answer_in(&mut self, buffer: &mut [u8], len: usize) -> Answer {
        let (head, data) = buffer.split_at_mut(DATA_AT);
        let head = &head[REQUEST_AT..][..len.min(BEFORE_DATA)];
        let Some(header) = InHeader::parse(head) else {
            tracing::error!("the kernel sent a request of {len} bytes");
            return Answer::Nothing;
        };
        let came = len.saturating_sub(BEFORE_DATA);
        self.answer(&header, &head[IN_HEADER..], data, came)
    }

    /// Answers a request with the arguments `args`. The first `len` bytes of `data` came with
    /// it (a WRITE's data), and all of it may be used for the answer.
    pub(super) fn answer(
        &mut self,
        header: &InHeader,
        args: &[u8],
        data: &mut [u8],
        len: usize,
    ) -> Answer {
        let unique = header.unique;
        Answer::Reply(match header.opcode {
            op::READ => return self.read(unique, Io::parse(args), data),
            op::WRITE => {
                let data = data.get(..len).unwrap_or_default();
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
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return Answer::Nothing,
            // After ENOSYS the kernel does not ask again. That includes FSYNC and FLUSH: a
            // write is done when it is answered.
            _ => Reply::error(unique, libc::ENOSYS),
        })
    }

    fn read(&mut self, unique: u64, io: Io, data: &mut [u8]) -> Answer {
        let Some(data) = data.get_mut(..io.size as usize) else {
            return Answer::Reply(Reply::error(unique, libc::EINVAL));
        };
        match self.disk.read(&mut self.worker, io.offset, data) {
            Ok(()) => Answer::Data(Reply::data(unique, data.len()), data.len()),
            Err(error) => Answer::Reply(Reply::error(unique, error.errno())),
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
}
