//! What files hold: their pages, from the cache or from SOURCE.
//!
//! [`Contents`] belongs to a mount, a [`Content`] to one file of it. The kernel's page cache is
//! the first level, which holds pages as they are; here is the second, which holds them compressed.
//! No page is held uncompressed here, nor left in the page cache of SOURCE.
//!
//! - `read`: from the cache, else from SOURCE; reply first, then insert.
//! - `write`: through to SOURCE, or kept dirty.
//! - `writeback`: dirty pages go to SOURCE on fsync and close, after a time, and at the limit.
//! - `give_up`: what SOURCE does not take of that is a `loss`.
//! - `memory_files`: files that live here only (`--ram`).
//! - `tuning`: how large the cache may be, ten times a second, by what requests tell the `tuner`.

mod buffers;
mod cache;
mod change;
mod coherence;
mod dirty;
mod file_content;
mod file_key;
mod flusher;
mod give_up;
mod loss;
mod memory_files;
mod mode;
mod pressure;
mod read;
mod seek;
mod source;
mod stamp;
mod table;
mod tuner;
mod tuning;
mod write;
mod writeback;

#[cfg(test)]
mod tests;

pub use change::Change;
pub use dirty::Reported;
pub use file_content::Content;
pub use file_key::FileKey;
pub use loss::Loss;
pub use stamp::Stamp;
pub use table::Contents;
