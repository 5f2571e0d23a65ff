//! The control protocol: what clients ask, what the daemon answers, and how both look on the
//! wire.
//!
//! A connection carries requests one way and one response to each the other way, in order.
//! Every message is one [`frame`]: a header of 12 bytes and a JSON document.

pub mod frame;
mod message;
mod mount;

pub use frame::{Kind, Message, ProtocolError, decode, encode, read, write};
pub use message::{DaemonStatus, ErrorCode, KernelLease, Refusal, Request, Response};
pub use mount::{
    DEFAULT_DIRTY_AFTER, DEFAULT_GIVE_UP_AFTER, DEFAULT_REVALIDATE, DIRTY_AFTER, FLAGS,
    GIVE_UP_AFTER, MountSettings, MountSpec, REVALIDATE,
};
