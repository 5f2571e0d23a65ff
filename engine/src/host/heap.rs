//! A host made of the process heap: for tests, fuzzing and tools.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::fallible::NoMemory;
use crate::host::{FRAME_SIZE, FrameMemory, SlotMemory};

/// Frames on the heap.
#[derive(Debug)]
pub struct HeapFrames {
    base: NonNull<u8>,
    layout: Layout,
    capacity: u32,
    fail: AtomicBool,
}

// SAFETY: `base` is owned by this value alone and is only handed out, never dereferenced here
// without `&self` methods that the pool serialises per frame.
unsafe impl Send for HeapFrames {}
// SAFETY: as above; no method of this type reads through the pointer.
unsafe impl Sync for HeapFrames {}

impl HeapFrames {
    /// `capacity` frames, all zero.
    ///
    /// # Panics
    /// If `capacity` frames exceed the address space.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let size = (capacity.max(1) as usize)
            .checked_mul(FRAME_SIZE)
            .expect("fits memory");
        let layout = Layout::from_size_align(size, FRAME_SIZE).expect("a valid layout");
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        HeapFrames {
            base,
            layout,
            capacity,
            fail: AtomicBool::new(false),
        }
    }

    /// Makes every later `populate` fail (or work again), as a system without memory would.
    pub fn set_failing(&self, fail: bool) {
        self.fail.store(fail, Ordering::Relaxed);
    }
}

impl Drop for HeapFrames {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this very layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

// SAFETY: frames are disjoint parts of one allocation that lives as long as `self` and is
// aligned to the frame size; the memory is always there, so `populate` has nothing to do.
unsafe impl FrameMemory for HeapFrames {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn frame(&self, index: u32) -> NonNull<u8> {
        assert!(index < self.capacity, "frame {index} of {}", self.capacity);
        // SAFETY: the offset lies within the allocation, as just checked.
        unsafe { self.base.add(index as usize * FRAME_SIZE) }
    }

    fn populate(&self, _index: u32, _may_wait: bool) -> Result<(), NoMemory> {
        if self.fail.load(Ordering::Relaxed) {
            Err(NoMemory)
        } else {
            Ok(())
        }
    }

    fn release(&self, _index: u32) {}
}

/// Slots on the heap.
#[derive(Debug)]
pub struct HeapSlots {
    slots: Vec<AtomicU64>,
    fail: AtomicBool,
}

impl HeapSlots {
    /// `pages` empty slots.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        HeapSlots {
            slots: (0..pages).map(|_| AtomicU64::new(0)).collect(),
            fail: AtomicBool::new(false),
        }
    }

    /// Makes every later `populate` fail (or work again), as a system without memory would.
    pub fn set_failing(&self, fail: bool) {
        self.fail.store(fail, Ordering::Relaxed);
    }
}

// SAFETY: the vector is never resized, and is private.
unsafe impl SlotMemory for HeapSlots {
    fn slots(&self) -> &[AtomicU64] {
        &self.slots
    }

    fn populate(&self, _slots: Range<usize>) -> Result<(), NoMemory> {
        if self.fail.load(Ordering::Relaxed) {
            Err(NoMemory)
        } else {
            Ok(())
        }
    }
}

/// The clock of [`Instant`], and waiting by yielding, then sleeping.
#[derive(Debug)]
pub struct StdTime(Instant);

impl Default for StdTime {
    fn default() -> Self {
        StdTime(Instant::now())
    }
}

impl StdTime {
    /// Nanoseconds since this clock was made.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits a moment, longer with every attempt.
    pub fn backoff(attempt: u32) {
        match attempt {
            0..16 => std::hint::spin_loop(),
            16..64 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}
