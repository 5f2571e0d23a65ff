//! How much of the system a mount may take.

/// Inodes that the kernel may know at once, each of which costs us up to 250 bytes.
const INODES: usize = 200_000;

/// Descriptors of a mount beside its workers'.
const OF_MOUNT: usize = 8;

/// Descriptors of a worker: one by which it is asked, others while it answers.
const OF_WORKER: usize = 3;

/// Threads that answer the kernel: one waits for SOURCE while the next serves from memory.
pub(super) fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.clamp(4, 16)
}

/// Descriptors of a mount with so many workers, whatever is open in it.
pub(super) fn descriptors(workers: usize) -> usize {
    workers.saturating_mul(OF_WORKER).saturating_add(OF_MOUNT)
}

/// About how many inodes the kernel may know at once, if mounts may have so many descriptors.
pub(super) fn most_inodes(wanted: Option<usize>, by_handle: bool, descriptors: usize) -> usize {
    let most = if by_handle {
        INODES
    } else {
        // The kernel needs time to forget: until then there may be more.
        INODES.min(descriptors / 8 * 3)
    };
    wanted.unwrap_or(most).max(16)
}
