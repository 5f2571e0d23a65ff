//! How much of the system a mount may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Inodes that the kernel may know at once, each of which costs us up to 250 bytes.
const INODES: usize = 200_000;

/// Descriptors that are left for open files and all else if each inode takes one.
const SPARE: usize = 256;

/// Threads that answer the kernel: one waits for SOURCE while the next serves from memory.
pub(super) fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.clamp(4, 16)
}

/// About how many inodes the kernel may know at once.
pub(super) fn most_inodes(wanted: Option<usize>, by_handle: bool) -> usize {
    let descriptors = raise_descriptors();
    let most = if by_handle {
        INODES
    } else {
        INODES.min(descriptors.saturating_sub(SPARE) / 2)
    };
    wanted.unwrap_or(most).max(16)
}

/// Allows this process as many descriptors as it may have, and says how many.
fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!("the limit of descriptors stays: {e}");
        }
    }
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX))
}
