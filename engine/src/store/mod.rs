//! The store: pages by index, kept compressed.
//!
//! [`Store::write`], [`Store::read`] and [`Store::discard`], and for single pages
//! [`Store::write_page`], [`Store::read_page`] and [`Store::free`], may be called from many
//! threads at once, also for the same page. None of them allocates from the heap, takes a lock
//! that all share, or touches memory that is not there; one thread of the host calls
//! [`Store::keep`] in the background so that this stays so.
//!
//! # Calls for single pages
//!
//! They do no I/O and never sleep, so that a kernel may call them with preemption off, each
//! CPU with a worker of its own. What has to be waited for is left to the caller:
//!
//! | answer | what the caller does |
//! |---|---|
//! | [`Written::ToBacking`] | writes the page to the backing store, then [`Store::arrive`] |
//! | [`Written::InTransit`], [`Loaded::InTransit`] | waits until somebody's [`Store::arrive`], then tries again |
//! | [`Loaded::InBacking`] | reads the page from the backing store, then [`Store::verify`] |
//! | [`WriteError::NoSpace`] | may call [`Store::top_up`], which sleeps, and try again |
//! | [`WriteError::NoSlotMemory`] | fails the write: what was there is still there |
//!
//! Whoever writes several pages gives them to [`Store::stage_page`], and calls [`Store::commit`].
//!
//! # Locks, outermost first
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | a [slot word](crate::slot)'s lock bit | the slot's value, and so its chunk | reading, moving, replacing a chunk |
//! | an arena's lock | free space of a part of the [pool](crate::pool) | placing and freeing a chunk |
//!
//! No thread holds two slots, or two arenas. A slot is held over decompressing its chunk and placing another
//! one, never over compression, I/O or a wait for memory. What a slot held is freed after it was unlocked. A
//! worker's batch is its own: a commit places all chunks, then takes one slot after the other, then frees.
//! Outside of both is the lock of a [cache](crate::ccache).

mod arrive;
mod cache_ops;
mod config;
mod counters;
mod damage;
mod error;
mod free;
mod limits;
mod pages;
mod read;
mod recompress;
mod release;
mod stage;
mod staging;
mod transit;
mod worker;
mod write;

#[cfg(all(test, feature = "std"))]
mod tests;

pub(crate) use cache_ops::{CompressedPage, SlotContents};
pub use config::StoreConfig;
pub use error::{ReadError, WriteError};
pub use limits::{INCOMPRESSIBLE_ABOVE, MAX_PAGES};
pub use pages::Store;
pub use read::{InBacking, Loaded, Verified};
pub use recompress::{ColdPolicy, Progress, Recompressor};
pub use stage::{Staged, Uncommitted};
pub use transit::Transit;
pub use worker::{NO_WORKER, Worker};
pub use write::Written;
