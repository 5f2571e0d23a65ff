//! An entry of a ring queue: the memory of one request, and the commands that hand it to the
//! kernel (`struct fuse_uring_req_header`, `struct fuse_uring_cmd_req`).

use compcache_host::memory::NotLocked;
use io_uring::squeue::Entry128;
use io_uring::{opcode, types};

use super::super::abi::{InHeader, Reply, u32_at, u64_at};
use super::super::buffer::{Buffer, DATA_AT};
use super::super::handler::{Answer, Handler};
use crate::error::DeviceError;

/// Hands an entry to the kernel for the first time.
const REGISTER: u32 = 1;
/// Hands in a reply, and the entry with it.
const COMMIT_AND_FETCH: u32 = 2;

/// Where the arguments of the request stand; before them, its header or the reply's.
const ARGS_AT: usize = 128;
/// Most bytes of arguments.
const ARGS: usize = 128;
/// Where the kernel's number of the request stands.
const COMMIT_ID_AT: usize = ARGS_AT + ARGS + 8;
/// Where the number of bytes of data stands, of the request or of the reply.
const DATA_LEN_AT: usize = COMMIT_ID_AT + 8;
/// Bytes of the header with all of these.
const HEADER: usize = DATA_LEN_AT + 16;

/// Where `struct io_uring_sqe` has its `len`.
const SQE_LEN_AT: usize = 24;

/// An entry.
pub(super) struct Entry {
    buffer: Buffer,
    qid: u16,
}

/// Memory for a request's header and for its data, as REGISTER names it.
pub(super) type Memory = [libc::iovec; 2];

impl Entry {
    /// An entry of queue `qid` with `max_io` bytes for data.
    pub(super) fn new(qid: u16, max_io: usize) -> Result<Self, DeviceError> {
        Ok(Entry {
            buffer: Buffer::new(max_io)?,
            qid,
        })
    }

    /// Whether its memory is locked.
    pub(super) fn locked(&self) -> Result<(), NotLocked> {
        self.buffer.locked()
    }

    /// Its memory.
    pub(super) fn memory(&mut self) -> Memory {
        let (head, data) = self.buffer.split_at_mut(DATA_AT);
        [(head, HEADER), (data, usize::MAX)].map(|(part, most)| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len().min(most),
        })
    }

    /// The command that registers it with the connection that is the ring's first registered
    /// file. `memory` must stay where it is until the command is submitted, and the entry's
    /// buffer until it has completed for the last time.
    pub(super) fn register(&self, memory: &Memory) -> Entry128 {
        let mut command = opcode::UringCmd80::new(types::Fixed(0), REGISTER)
            .cmd(self.arguments(0))
            .addr(Some(memory.as_ptr().expose_provenance() as u64))
            .build();
        let count = memory.len() as u32;
        // SAFETY: an `Entry128` is (repr(C)) the kernel's `struct io_uring_sqe` of 128 bytes,
        // which has a u32 at SQE_LEN_AT; the crate has no setter for it.
        unsafe {
            (&raw mut command)
                .cast::<u8>()
                .add(SQE_LEN_AT)
                .cast::<u32>()
                .write(count);
        }
        command
    }

    /// The arguments of a command (`struct fuse_uring_cmd_req`).
    fn arguments(&self, commit_id: u64) -> [u8; 80] {
        let mut arguments = [0; 80];
        arguments[8..16].copy_from_slice(&commit_id.to_ne_bytes());
        arguments[16..18].copy_from_slice(&self.qid.to_ne_bytes());
        arguments
    }

    /// Answers the request that the kernel has put into the entry; gives the command that
    /// hands in the reply.
    pub(super) fn answer(&mut self, handler: &mut Handler) -> Entry128 {
        let (head, data) = self.buffer.split_at_mut(DATA_AT);
        let (commit_id, len) = (u64_at(head, COMMIT_ID_AT), u32_at(head, DATA_LEN_AT));
        let (request, args) = head.split_at(ARGS_AT);
        let answer = match InHeader::parse(request) {
            Some(header) => handler.answer(&header, &args[..ARGS], data, len as usize),
            None => Answer::Nothing,
        };
        let (reply, len) = match answer {
            Answer::Data(reply, len) => (reply, len),
            Answer::Reply(reply) => {
                let body = reply.body();
                data[..body.len()].copy_from_slice(body);
                let len = body.len();
                (reply, len)
            }
            // No such request comes over a ring.
            Answer::Nothing => (Reply::error(commit_id, libc::ENOSYS), 0),
        };
        let header = reply.header();
        head[..header.len()].copy_from_slice(header);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        head[DATA_LEN_AT..DATA_LEN_AT + 4].copy_from_slice(&len.to_ne_bytes());
        opcode::UringCmd80::new(types::Fixed(0), COMMIT_AND_FETCH)
            .cmd(self.arguments(commit_id))
            .build()
    }
}

const _: () = assert!(
    HEADER == 288 && size_of::<Entry128>() == 128,
    "as the kernel has it"
);
