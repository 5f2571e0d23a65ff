//! What tests of all crates share. It depends on none of them, so that each can have it.

mod files;
mod fuse;
pub mod needs;
mod users;
mod wait;

pub use files::{filled_file, open_directory};
pub use fuse::mount_dead;
pub use users::as_user;
pub use wait::{DEADLINE, SetAtEnd, until, until_or, wait_until};
