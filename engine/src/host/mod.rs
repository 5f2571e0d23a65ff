//! What the engine asks of the system that it runs on: memory, locks, time.

#[cfg(feature = "std")]
pub mod heap;
#[cfg(all(test, feature = "std"))]
pub(crate) mod testing;

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use crate::codec::Codecs;
use crate::fallible::NoMemory;

/// Bytes in a frame, the unit in which the pool takes memory from the host.
pub const FRAME_SIZE: usize = 64 * 1024;

/// Locks, time and wake-ups.
pub trait Host: Send + Sync {
    /// The codecs that a store of this host has.
    type Codecs: Codecs;

    /// The lock of an arena of the pool, held for well under a microsecond and never over I/O or an
    /// allocation of memory; and of a [cache](crate::ccache), which may take memory under it.
    type Lock: lock_api::RawMutex + Send + Sync;

    /// A monotonic clock in nanoseconds, for the latency histograms only.
    fn now_ns(&self) -> u64;

    /// Called while waiting for another thread's short hold of a slot, with the count of
    /// calls so far: spin first, then yield, then sleep. If all who hold slots are pinned
    /// (see [`Host::pin`]), it may be a pause of the processor and no more.
    fn backoff(&self, attempt: u32);

    /// Called by background threads (the evacuator, the recompressor, whoever frees dead
    /// pages) before they hold a slot or an arena, and followed by [`Host::unpin`] within
    /// microseconds. A thread of low priority that lost its CPU in between would keep others
    /// waiting, for ever if those spin with preemption off: a kernel switches preemption
    /// off here. Calls are not nested; nothing between them sleeps or takes memory from the
    /// system that it has to wait for.
    ///
    /// Threads that call [`crate::Store::write_page`], [`crate::Store::read_page`] and
    /// [`crate::Store::free`] pin themselves, if the host asks for it at all.
    fn pin(&self) {}

    /// Ends what [`Host::pin`] began.
    fn unpin(&self) {}

    /// Wakes the keeper, the background thread that calls [`crate::Store::keep`]: the
    /// reserve runs low, or the pool's overhead has passed its threshold. Must not block.
    fn wake_keeper(&self);

    /// Wakes the thread that recompresses cold pages if it is idle (see
    /// [`crate::store::Recompressor::set_idle`]): pages were written. Must not block. A host that
    /// has no such thread leaves it out.
    fn wake_recompressor(&self) {}
}

/// Memory for the pool: a fixed number of frames of [`FRAME_SIZE`] bytes, each given and
/// taken back by the host on demand.
///
/// # Safety
/// - While frame `i < capacity()` is populated, `frame(i)` returns the same pointer every
///   time, aligned to 4096 bytes and valid for [`FRAME_SIZE`] bytes of reads and writes;
///   frames do not overlap. Once populated again, a frame may lie elsewhere.
/// - Nothing but the pool that owns `self` touches the frames.
pub unsafe trait FrameMemory: Send + Sync {
    /// The number of frames.
    fn capacity(&self) -> u32;

    /// Where frame `index` lies, which is populated.
    fn frame(&self, index: u32) -> NonNull<u8>;

    /// Makes frame `index` resident, so that touching it neither faults nor fails. Only if
    /// `may_wait` is set may it sleep, or wait for memory to be reclaimed.
    ///
    /// # Errors
    /// [`NoMemory`] if the system refuses; the frame must then not be touched.
    fn populate(&self, index: u32, may_wait: bool) -> Result<(), NoMemory>;

    /// Gives the memory of frame `index` back to the system. Its contents are lost, and it
    /// must be populated again before use. Called by the keeper, who may sleep here.
    fn release(&self, index: u32);
}

/// Memory for a slot table: one 64-bit word a page, zero at first.
///
/// # Safety
/// - `slots()` returns the same slice every time, and nothing but the engine writes to it.
/// - Slots that [`SlotMemory::populate`] has been asked for, and has not refused, can be read and
///   written from then on.
pub unsafe trait SlotMemory: Send + Sync {
    /// The slots, one a page. None is touched before it was populated.
    fn slots(&self) -> &[AtomicU64];

    /// Makes these slots, all of which there are, resident: touching them then never fails. Called
    /// once or more for a part of the table before anything is written there. Memory that is always
    /// there needs nothing.
    ///
    /// # Errors
    /// [`NoMemory`] if the system refuses; the slots must then not be touched.
    fn populate(&self, slots: Range<usize>) -> Result<(), NoMemory> {
        let _ = slots;
        Ok(())
    }
}
