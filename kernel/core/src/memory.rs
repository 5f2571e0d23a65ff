//! Memory of the pool and of the slots.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use compcache_engine::fallible::NoMemory;
use compcache_engine::{FrameMemory, SlotMemory};

use crate::sys;

/// Zeroed memory for `count` words, freed on drop.
#[derive(Debug)]
struct Words<T> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: it owns its memory, and gives out shared references to atomic words only.
unsafe impl<T: Sync> Send for Words<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Words<T> {}

impl<T> Words<T> {
    /// # Safety
    /// Bytes of zero must be a `T`.
    unsafe fn zeroed(count: usize) -> Result<Self, NoMemory> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or(NoMemory)?;
        // SAFETY: any size may be requested.
        let memory = unsafe { sys::rzk_vzalloc(bytes.max(1)) };
        match NonNull::new(memory.cast()) {
            Some(start) => Ok(Words { start, count }),
            None => Err(NoMemory),
        }
    }

    #[inline]
    fn all(&self) -> &[T] {
        // SAFETY: the memory was made for `count` things, page-aligned and zeroed, which is a `T`
        // by the contract of `zeroed`; it is freed by `drop` only.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T> Drop for Words<T> {
    fn drop(&mut self) {
        // SAFETY: the memory is from `rzk_vzalloc`, and is freed once.
        unsafe { sys::rzk_vfree(self.start.as_ptr().cast()) }
    }
}

/// The slots of a device: 8 bytes a page.
#[derive(Debug)]
pub(crate) struct KernelSlots(Words<AtomicU64>);

impl KernelSlots {
    /// May sleep.
    pub(crate) fn new(pages: u64) -> Result<Self, NoMemory> {
        let pages = usize::try_from(pages).map_err(|_| NoMemory)?;
        // SAFETY: zero is an atomic word.
        Ok(KernelSlots(unsafe { Words::zeroed(pages)? }))
    }
}

// SAFETY: the slice is the same for as long as the memory lives, and private to the engine.
unsafe impl SlotMemory for KernelSlots {
    #[inline]
    fn slots(&self) -> &[AtomicU64] {
        self.0.all()
    }
}

/// The frames of a pool: pages of the kernel, taken one frame at a time.
#[derive(Debug)]
pub(crate) struct KernelFrames(Words<AtomicPtr<u8>>);

impl KernelFrames {
    /// May sleep. Takes memory for the table only: 8 bytes a frame.
    pub(crate) fn new(frames: u32) -> Result<Self, NoMemory> {
        // SAFETY: zero is an atomic null pointer.
        Ok(KernelFrames(unsafe { Words::zeroed(frames as usize)? }))
    }
}

// SAFETY: a frame's pointer changes in `populate` and `release` only, which the pool calls for a
// frame that is not in use; the kernel gives each allocation to one owner, aligned to its page, and
// `drop` gives back what is left.
unsafe impl FrameMemory for KernelFrames {
    fn capacity(&self) -> u32 {
        self.0.count as u32
    }

    #[inline]
    fn frame(&self, index: u32) -> NonNull<u8> {
        let frame = self.0.all()[index as usize].load(Relaxed);
        debug_assert!(!frame.is_null(), "only populated frames are used");
        // SAFETY: the frame is populated, so that `populate` has stored where it lies. Relaxed is
        // enough: whoever hands a frame to another CPU orders that itself.
        unsafe { NonNull::new_unchecked(frame) }
    }

    fn populate(&self, index: u32, may_wait: bool) -> Result<(), NoMemory> {
        // SAFETY: whoever sets `may_wait` may sleep.
        let frame = unsafe { sys::rzk_frame_alloc(may_wait) };
        if frame.is_null() {
            return Err(NoMemory);
        }
        self.0.all()[index as usize].store(frame.cast(), Relaxed);
        Ok(())
    }

    fn release(&self, index: u32) {
        // Nobody else uses it: no exchange is needed.
        let word = &self.0.all()[index as usize];
        let frame = word.load(Relaxed);
        word.store(ptr::null_mut(), Relaxed);
        if !frame.is_null() {
            // SAFETY: it is from `rzk_frame_alloc`, and taken out of the table.
            unsafe { sys::rzk_frame_free(frame.cast()) }
        }
    }
}

impl Drop for KernelFrames {
    fn drop(&mut self) {
        (0..self.capacity()).for_each(|index| self.release(index));
    }
}
