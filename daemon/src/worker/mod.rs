//! Work that is done by processes of their own, so that what happens there reaches neither the control
//! socket nor swap.
//!
//! ```text
//!   compcached ──────────────┐ socket pair                      compcached --worker mounts
//!   control socket, devices, │                                  ┌─ mounts, their pages,
//!   leases, table of mounts  │ a descriptor for each            │  threads, descriptors
//!        │                   │ conversation (SCM_RIGHTS)        │
//!        ├── Link::open ─────┼────────────────────────────────► Link::accept
//!        ├── Conversation: orders ──► ◄── answers ──────────────┤ a thread for each
//!        └── Conversation: ◄── events ──────────────────────────┘
//! ```
//!
//! `link` passes conversations, `conversation` carries messages, `process` starts a worker and waits
//! for its end: neither of them knows what the work is. [`mounts`] is the daemon's side of the mounts,
//! `serve` their process; what both say to each other is in `message`.
//!
//! Nothing that the daemon waits for without a bound depends on a worker: whoever waits for an answer is a
//! client's thread, and the status is asked for within a bound (`process::Worker::quick`). A worker that has
//! died is known by the end of its events; one whose daemon has died knows it by the end of the link, and ends
//! its work properly.

mod conversation;
mod lifetime;
mod link;
mod message;
pub mod mounts;
mod process;
pub(crate) mod serve;
