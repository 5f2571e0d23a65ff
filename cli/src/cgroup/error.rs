//! What can go wrong with a cgroup.

use std::io;
use std::path::{Path, PathBuf};

use compcache_host::remedy;

/// What went wrong with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy has the memory controller.
    #[error(
        "no memory cgroup can be used: neither a cgroup v2 hierarchy with the memory controller \
         enabled nor a v1 memory hierarchy is mounted; mount one, for example with \
         `mount -t cgroup2 none /sys/fs/cgroup`, and check that the kernel was not started with \
         cgroup_disable=memory"
    )]
    NoController,
    /// The kernel refused to make or set up the group.
    #[error("{doing} {path:?}: {source}{}", remedy::suffix(*.remedy))]
    Io {
        /// What was tried, as in "cannot create".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
        /// What the user can do about it, if anything is known to help.
        remedy: Option<&'static str>,
    },
}

impl CgroupError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                "run as root, or inside a delegated group: \
                     systemd-run --user --scope -p Delegate=yes …",
            ),
            _ => None,
        };
        CgroupError::Io {
            doing,
            path: path.to_owned(),
            source,
            remedy,
        }
    }
}
