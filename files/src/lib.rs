//! The compressed page cache: a mount that shows a directory and keeps its files' pages
//! compressed in memory.
//!
//! [`content`] is what files hold: pages, cached and dirty, under one memory limit. The file
//! system that the kernel talks to, names, attributes and permissions, is built on it.
//!
//! # Locks, outermost first
//!
//! | lock | in | guards | held over calls of SOURCE |
//! |---|---|---|---|
//! | the attempt | `patience.rs` | trying to end a mount, one call at a time | yes |
//! | `stream` of an open directory | `fs/directories.rs` | where its listing stands | yes |
//! | `exclusive` of a content | `content/mod.rs` | writing out, and changes other than writes | yes |
//! | `order` of the inodes | `inode/table.rs` | in which order the kernel looked them up | no |
//! | `shards` of the inodes | `inode/table.rs` | inodes by node | no |
//! | `state` of an inode | `inode/node.rs` | what is open of it | yes: opening, fstat |
//! | `Openers` | `inode/node.rs` | who has the file open | no |
//! | `files` of the contents | `content/table.rs` | contents by key | no |
//! | `files` of write-back | `content/writeback.rs` | files with dirty pages | no |
//! | `state` of a content | `content/mod.rs` | its stamp and its dirty pages | no |
//! | the cache's lock | the engine's `ccache` | index and lists | no |
//! | `used` of the process, then of a mount | `descriptors.rs` | descriptors that are taken | no |
//!
//! No thread holds two of a kind. Under the lock of the order an inode's state is only tried, since who has it may
//! wait for SOURCE. A content's `exclusive` is not taken under an inode's state, a content's or a table. So what is
//! dirty can be seen, and given up, while SOURCE hangs.
//!
//! All other locks are innermost, for a moment, and never held over a call of SOURCE; only the state of a retry
//! takes one more, that of the last progress. Requests that wait for their turn or for SOURCE are served without
//! the locks of `fs/turns.rs` and `fs/waiting.rs`.
//!
//! A thread that holds no lock tells the kernel which pages and names are stale: the kernel may first wait for a
//! request that needs one. For stale attributes it waits for nobody; they are told under an inode's state, too.
#![cfg(target_os = "linux")]

pub mod budget;
pub mod content;
mod descriptors;
pub mod error;
mod fs;
mod identity;
mod inode;
pub mod mount;
pub mod options;
mod patience;
pub mod status;

pub use budget::Budget;
pub use content::{Content, Contents, Loss};
pub use error::FilesError;
pub use fs::RequestHook;
pub use identity::Caller;
pub use mount::{Ending, Hooks, Mount};
pub use options::{Limits, MountOptions, WritePolicy};
pub use status::{MountStatus, Writes};
