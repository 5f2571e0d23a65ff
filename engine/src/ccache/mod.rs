//! The compressed cache: pages of files, found by one look-up, under one memory limit.
//!
//! Every file is an address space: a radix tree that leads to one 64-bit slot a page, which says
//! whether the page is held, and where, or when it was evicted. Pages that are held are on one of
//! two LRU lists. [`Ccache::should_admit`] decides which pages are admitted
//! (`should_add_to_ccache` of the 2006 design), [`Ccache::insert`] stores them, and what no longer fits is
//! evicted from the inactive list, and leaves a shadow.
//!
//! One lock guards the index and the lists. It is never held while a page is compressed, stored or
//! decompressed, nor while somebody else reads one: [`Ccache::insert`] reserves the page's slot, and
//! [`Ccache::pin`] pins it; both store the chunk without the lock, and commit it if the slot is still
//! the page's. Chunks of pages that were evicted or dropped are freed after its release.
//!
//! # Locks, outermost first
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | the cache's lock | index, lists, balance, counts | everything but storing a chunk and restoring a page |
//! | a slot's lock bit, then an arena's lock | see [`store`](crate::store) | reading, setting a slot; freeing |
//!
//! Under the cache's lock a slot is tried, never waited for: who finds it held releases the lock and comes
//! again. Nobody takes the lock while holding a slot. An arena is locked under it only when more than 16 chunks
//! await its release, and the index takes memory under it.

mod admit;
mod balance;
mod block;
mod cache;
mod config;
mod counts;
mod guarded;
mod index;
mod lists;
mod locked;
mod read;
mod reclaim;
mod remove;
mod slab;
mod stats;
mod stream;

#[cfg(all(test, feature = "std"))]
mod tests;

pub use admit::{Decision, Inserted, NoRoom, Read};
pub use cache::Ccache;
pub use config::CcacheConfig;
pub use counts::Counts;
pub use index::FileId;
pub use read::Lookup;
pub use stats::CcacheStats;
