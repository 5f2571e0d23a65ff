//! FUSE over io_uring (Linux 6.14 and later, `Documentation/filesystems/fuse-io-uring.rst`).
//!
//! The kernel has a queue of requests for every possible CPU, and gives a request to the queue
//! of the CPU on which it was made. This side registers entries with each queue, each with
//! memory for one request. One system call hands in the replies of all entries that are done,
//! and waits for the next requests, whose bytes the kernel puts into the entries' memory.
//!
//! A connection that agreed on io_uring in its handshake serves no request before every
//! queue has an entry. It ends like a classic one: an unmount, or the last close of its
//! descriptors (the rings hold them) fails all requests and completes all entries with an
//! error; so does the death of the process.

mod entry;
pub(crate) mod parameter;
pub(super) mod plan;
mod queues;

pub(super) use queues::Queues;
