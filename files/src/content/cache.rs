//! A mount's cache, and how much memory it needs.

use compcache_engine::ccache::Ccache;
use compcache_engine::host::FRAME_SIZE;
use compcache_host::memory::{LinuxHost, MemfdFrames, MemfdSlots};

/// The cache of a mount.
pub(super) type Cache = Ccache<LinuxHost, MemfdFrames, MemfdSlots>;

/// Slots for so many bytes of the limit: what the smallest chunks would need. Only address space
/// is taken beforehand.
const BYTES_PER_SLOT: u64 = 32;

/// Frames beyond the limit: those that are being filled and emptied.
const SLACK_FRAMES: u64 = 64;

/// Frames and slots for a cache of `limit` bytes, and for files of `size` bytes in all.
pub(super) fn capacity(limit: u64, size: Option<u64>) -> (u32, u64) {
    let frames = (limit / FRAME_SIZE as u64).saturating_add(SLACK_FRAMES);
    let for_files = size.unwrap_or(0) / 4096 * 4;
    let slots = (limit / BYTES_PER_SLOT)
        .max(for_files)
        .clamp(1 << 12, 1 << 32);
    (u32::try_from(frames).unwrap_or(u32::MAX), slots)
}
