//! A memory cgroup of our own for one program: version 2 if the memory controller is there,
//! else version 1.

mod error;
mod group;
mod parent;

pub use compcache_host::cgroup::Counted;
pub use error::CgroupError;
pub use group::Group;
pub use parent::Parent;
