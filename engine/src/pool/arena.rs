//! An arena: frames with one lock, from which threads that share it place their chunks.

use core::sync::atomic::Ordering::Relaxed;

use super::bitmap::{Bitmap, GRANULES, HEADER_GRANULES, USABLE_GRANULES};
use super::frames::{FrameInfo, NONE};
use super::free_lists::FreeLists;
use super::memory::{Memory, frame_of, granule_of, place_of};
use crate::host::FrameMemory;

/// Set in [`FrameInfo::used`] while the evacuator empties the frame: nothing is placed there.
const CLOSED: u32 = 1 << 31;

/// Overhead in thousandths of the granules in use above which frames are evacuated.
const EVACUATE_ABOVE: u64 = 20;

/// Free granules that an arena may have whatever its size: a frame being filled, and one
/// being emptied.
const SLACK: u64 = 2 * GRANULES as u64;

/// How many frees pass between two looks at whether the arena is sparse: a power of two.
const LOOK_EVERY: u64 = 16;

/// A frame fuller than this is not worth evacuating, in granules.
pub(super) const WORTHWHILE: u32 = (USABLE_GRANULES * 15 / 16) as u32;

/// Frames with one lock. Chunks are placed in the tightest free run of any of its frames. While the lock is free:
///
/// 1. `frames` is the number of frames whose [`FrameInfo`] names this arena, closed ones included.
/// 2. `used` is the sum of theirs, without [`CLOSED`].
/// 3. `lists` has every maximal free run of the open frames once, and none of a closed frame.
#[derive(Debug)]
pub(super) struct Arena {
    number: u32,
    lists: FreeLists,
    frames: u64,
    used: u64,
    /// Chunks freed since the arena was made; together with `quiet_until` it keeps the evacuator
    /// from trying again and again if nothing is to be won.
    frees: u64,
    quiet_until: u64,
}

/// The frames that an arena works on, handed to each of its operations.
pub(super) struct Frames<'a, F> {
    pub(super) memory: &'a Memory<F>,
    pub(super) infos: &'a [FrameInfo],
}

impl<F> Frames<'_, F> {
    #[inline]
    fn info(&self, frame: u32) -> &FrameInfo {
        &self.infos[frame as usize]
    }
}

impl<F: FrameMemory> Frames<'_, F> {
    /// The bitmap of a frame of the arena whose lock the caller holds.
    ///
    /// # Safety
    /// The caller holds the lock of the frame's arena, and no other reference to the bitmap.
    #[inline]
    #[allow(clippy::mut_from_ref)] // exclusive by the arena's lock, as demanded above
    unsafe fn bitmap(&self, frame: u32) -> &mut Bitmap {
        // SAFETY: frames of an arena are populated; exclusive by this function's contract.
        unsafe { self.memory.bitmap(frame) }
    }
}

/// What freeing a chunk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freed {
    /// The frame, if it is now without chunks: it then belongs to the arena no more.
    pub(super) emptied: Option<u32>,
    /// The arena was looked at, and evacuating a frame is worth its cost.
    pub(super) sparse: bool,
}

impl Arena {
    pub(super) const fn new(number: u32) -> Self {
        Arena {
            number,
            lists: FreeLists::new(),
            frames: 0,
            used: 0,
            frees: 0,
            quiet_until: 0,
        }
    }

    /// Takes an empty, populated frame that belongs to no arena.
    pub(super) fn add_frame<F: FrameMemory>(&mut self, frames: &Frames<'_, F>, frame: u32) {
        // SAFETY: the frame belonged to nobody and is populated; from here on it is this
        // arena's, whose lock the caller holds.
        unsafe {
            frames.bitmap(frame).clear_all();
            self.lists.insert(
                frames.memory,
                place_of(frame, HEADER_GRANULES),
                USABLE_GRANULES,
            );
        }
        let info = frames.info(frame);
        info.used.store(0, Relaxed);
        info.arena.store(self.number, Relaxed);
        self.frames += 1;
    }

    /// Takes a frame without chunks out of the arena.
    fn remove_frame<F>(&mut self, frames: &Frames<'_, F>, frame: u32) {
        let info = frames.info(frame);
        info.arena.store(NONE, Relaxed);
        info.used.store(0, Relaxed);
        self.frames -= 1;
    }

    /// Allocates `size` granules in one of the arena's frames; `None` if no run is long
    /// enough.
    pub(super) fn allocate<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        size: usize,
    ) -> Option<u64> {
        let place = self.lists.find(size)?;
        let frame = frame_of(place);
        let start = granule_of(place);
        // SAFETY: listed runs lie in this arena's frames (3), and the caller holds its lock.
        unsafe {
            frames.bitmap(frame).mark(start, start + size);
            let length = self.lists.remove(frames.memory, place);
            if length > size {
                let rest = place_of(frame, start + size);
                self.lists.insert(frames.memory, rest, length - size);
            }
        }
        self.used += size as u64;
        let used = &frames.info(frame).used;
        used.store(used.load(Relaxed) + size as u32, Relaxed);
        Some(place)
    }

    /// Frees `size` granules at `place`.
    #[inline(always)]
    pub(super) fn free<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        place: u64,
        size: usize,
    ) -> Freed {
        let frame = frame_of(place);
        let start = granule_of(place);
        let end = start + size;
        let used = frames.info(frame).used.load(Relaxed);
        self.used -= size as u64;
        self.frees += 1;
        // SAFETY: the caller owns the chunk, so its frame is this arena's.
        let bitmap = unsafe { frames.bitmap(frame) };
        bitmap.unmark(start, end);
        let mut freed = Freed {
            emptied: None,
            sparse: self.frees.is_multiple_of(LOOK_EVERY) && self.is_sparse(),
        };
        frames.info(frame).used.store(used - size as u32, Relaxed);
        if used & CLOSED != 0 {
            // The evacuator lists the runs, or gives the frame back, when it is done.
            return freed;
        }
        let (mut first, mut length) = (place, size);
        // SAFETY: the maximal free runs of an open frame are listed (3), so that those on both sides
        // are; what the merged one is made of is not. The bitmap's own granules are in use, so
        // that there is one below.
        unsafe {
            if end < GRANULES && bitmap.is_free(end) {
                length += self.lists.remove(frames.memory, place_of(frame, end));
            }
            if bitmap.is_free(start - 1) {
                let before = frames.memory.length_before(place);
                first -= before as u64;
                length += before;
                if used != size as u32 && self.lists.grow(frames.memory, first, before, length) {
                    return freed;
                }
                self.lists.remove(frames.memory, first);
            }
            if used == size as u32 {
                self.remove_frame(frames, frame);
                freed.emptied = Some(frame);
            } else {
                self.lists.insert(frames.memory, first, length);
            }
        }
        freed
    }

    /// Whether so much is free that evacuating a frame is worth its cost.
    pub(super) fn is_sparse(&self) -> bool {
        self.frees >= self.quiet_until
            && self.frames * GRANULES as u64 > self.used + self.used * EVACUATE_ABOVE / 1000 + SLACK
    }

    /// Nothing was won: stay quiet until a good part of the arena has changed.
    pub(super) fn quieten(&mut self) {
        self.quiet_until = self.frees + self.frames.max(16);
    }

    /// Frames of the arena, closed ones included.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Closes a frame, so that nothing is placed in it until it is reopened; does nothing if
    /// it is not this arena's, or not sparse any more. Returns whether it did.
    pub(super) fn close<F: FrameMemory>(&mut self, frames: &Frames<'_, F>, frame: u32) -> bool {
        let info = frames.info(frame);
        let used = info.used.load(Relaxed);
        // One that is closed counts as more than full.
        if info.arena.load(Relaxed) != self.number || used > WORTHWHILE {
            return false;
        }
        info.used.store(used | CLOSED, Relaxed);
        self.each_free_run(frames, frame, |lists, place, _| {
            // SAFETY: an open frame's maximal free runs are listed (3); the lock is held.
            unsafe { lists.remove(frames.memory, place) };
        });
        true
    }

    /// Ends the evacuation of a closed frame: returns it, no longer the arena's, if it is
    /// empty, and otherwise opens it again.
    pub(super) fn reopen<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
    ) -> Option<u32> {
        let info = frames.info(frame);
        let used = info.used.load(Relaxed) & !CLOSED;
        info.used.store(used, Relaxed);
        if used == 0 {
            self.remove_frame(frames, frame);
            return Some(frame);
        }
        self.each_free_run(frames, frame, |lists, place, size| {
            // SAFETY: a closed frame's free runs are not listed (3); the lock is held.
            unsafe { lists.insert(frames.memory, place, size) }
        });
        None
    }

    /// The start of the first chunk at or after `from` in a closed frame. `from` is the frame's
    /// first granule, or where a chunk began or ended since the frame was closed.
    pub(super) fn next_chunk<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
        from: usize,
    ) -> Option<usize> {
        // SAFETY: closed frames are still the arena's, whose lock the caller holds.
        let found = unsafe { frames.bitmap(frame) }.next_chunk(from);
        (found < GRANULES).then_some(found)
    }

    /// Where to look for more behind the chunk that began at `start` in a closed frame, whether
    /// it is still there or not.
    pub(super) fn behind<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
        start: usize,
    ) -> usize {
        // SAFETY: as in `next_chunk`.
        let bitmap = unsafe { frames.bitmap(frame) };
        if bitmap.is_free(start) {
            start
        } else {
            bitmap.end_of_chunk(start)
        }
    }

    fn each_free_run<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
        mut act: impl FnMut(&mut FreeLists, u64, usize),
    ) {
        // SAFETY: the frame is the arena's and the caller holds its lock; `act` touches the
        // links in free granules only, never the bitmap.
        let bitmap = unsafe { frames.bitmap(frame) };
        let mut start = HEADER_GRANULES;
        while start < GRANULES {
            let end = bitmap.next_chunk(start);
            if end > start {
                act(&mut self.lists, place_of(frame, start), end - start);
            }
            if end == GRANULES {
                break;
            }
            start = bitmap.end_of_chunk(end);
        }
    }
}
