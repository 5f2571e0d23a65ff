//! The core of `ramzswap.ko`: the engine behind the kernel's calls.
//!
//! C (`kernel/shim/`) wraps what the kernel offers, and decides nothing. Everything else is
//! here: which settings a device accepts and when, its set-up and end, how a request is served, what
//! its attributes show. Built as one object without std for the kernel, and with std and a kernel
//! made of a few functions ([`sys`]'s `mock`) for its tests.
//!
//! # Locks, outermost first
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | control (a mutex of each disk) | the device's parameters and state | ioctls, attributes, module start and end |
//! | the kernel's `open_mutex` of a disk | who has it open | a reset, for a moment; the kernel, around opening |
//! | the kernel's cluster lock (a spinlock) | swap's use of slots | the kernel, around [`rz_slot_free_notify`](request::rz_slot_free_notify) |
//! | the lock bit of a page's slot | the slot's value | whoever reads, moves or replaces a chunk |
//! | an arena's lock (a spinlock) | free space of a part of the pool | placing and freeing a chunk |
//!
//! Serving a request takes neither of the first two. Whoever holds a slot or an arena is not
//! preempted: requests are served with preemption off, threads switch it off around each hold
//! (`Host::pin`). So whoever waits for a slot, even under the cluster lock, waits for a holder that
//! is running. No lock is held over I/O: a page that is being written to the backing swap is in a state of
//! its own (in transit), which a free marks and leaves.
//!
//! # Contexts
//!
//! | function | may sleep | preemption |
//! |---|---|---|
//! | control: `rz_module_*`, `rz_ioctl`, `rz_attribute_*` | yes | on |
//! | `rz_submit_bio`, `rz_rw_page`, `rz_work_run` | between pages | off around up to 8 pages |
//! | `rz_slot_free_notify` | never | off already |
//! | `rz_thread_run`, `rz_shrinker_scan` | yes | off while a slot is held |
//!
//! The kernel calls none of them from an interrupt.
//!
//! # A device's life
//!
//! A device is made with the module and removed with it. Initialising makes what serves requests
//! ([`live::Live`]) and publishes a pointer to it; a reset takes the pointer back when nobody else
//! has the disk open, waits for the requests that had begun, and takes it apart. The kernel frees
//! slots of a disk that is swapped on only, which is open then: no reset comes between.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod attributes;
mod backing;
mod codecs;
mod cold;
mod deferred;
mod device;
mod error;
mod exhaustion;
mod fallible;
mod features;
mod host;
mod ioctl;
mod live;
mod memory;
mod module;
mod params;
mod policy;
mod print;
mod refusals;
mod request;
mod runtime;
mod spinlock;
mod stats;
mod sys;
mod text;
mod threads;
mod transfer;
mod work;
mod zstd;

#[cfg(test)]
mod tests;
