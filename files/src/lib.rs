//! The compressed page cache: a mount that shows a directory and keeps its files' pages
//! compressed in memory.
//!
//! [`content`] is what files hold: pages, cached and dirty, under one memory limit. The file
//! system that the kernel talks to, names, attributes and permissions, is built on it.
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
pub use status::MountStatus;
