//! The engine of compcache: a page goes in, a chunk comes out, and back.
//!
//! This crate knows no file, no device and no operating system. It compresses pages of
//! 4096 bytes ([`codec`]), keeps the compressed bytes in a compacting [`pool`], finds them
//! through one 64-bit [`slot`] a page, and counts what it does ([`stats`]). What it needs
//! from outside (memory, locks, time, a backing store) comes in through the traits of
//! [`host`] and [`backing`].
//!
//! Built without default features it is `no_std` and needs only `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod backing;
pub mod ccache;
pub mod checksum;
pub mod codec;
pub mod cold;
pub mod cpu;
pub mod disk;
pub mod fallible;
pub mod host;
pub mod page;
pub mod pool;
pub mod slot;
pub mod space;
pub mod stats;
pub mod store;
pub mod swap_header;

pub use backing::{Backing, BackingAccess, BackingError, Unread};
pub use ccache::{Ccache, CcacheConfig, FileId};
pub use codec::{CodecId, CodecSpec, Codecs};
pub use cpu::Cpu;
pub use host::{FrameMemory, Host, SlotMemory};
pub use page::{PAGE_SIZE, Page};
pub use store::{Store, StoreConfig, Worker};
