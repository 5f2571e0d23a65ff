//! An arena: frames with one lock, from which threads that share it place their chunks.

use core::sync::atomic::Ordering::Relaxed;

use super::bitmap::{Bitmap, GRANULES, HEADER_GRANULES, USABLE_GRANULES};
use super::frames::{FrameInfo, NONE};
use super::free_lists::FreeLists;
use super::memory::{Memory, frame_of, granule_of, place_of};
use crate::host::FrameMemory;

/// Lists of frames by how full they are.
const BUCKETS: usize = 32;

/// Set in [`FrameInfo::used`] while the evacuator empties the frame: nothing is placed there.
const CLOSED: u32 = 1 << 31;

/// Overhead in thousandths of the granules in use above which frames are evacuated.
const EVACUATE_ABOVE: u64 = 20;

/// Free granules that an arena may have whatever its size: a frame being filled, and one
/// being emptied.
const SLACK: u64 = 2 * GRANULES as u64;

/// A frame fuller than this is not worth evacuating, in granules.
const WORTHWHILE: u32 = (USABLE_GRANULES * 15 / 16) as u32;

/// Frames with one lock. Chunks are placed in the tightest free run of any of its frames.
#[derive(Debug)]
pub(super) struct Arena {
    number: u32,
    lists: FreeLists,
    buckets: [u32; BUCKETS],
    frames: u64,
    used: u64,
    /// Changes since the arena was made; together with `quiet_until` it keeps the evacuator
    /// from trying again and again where nothing is to be won.
    changes: u64,
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

fn bucket_of(used: u32) -> usize {
    (used as usize * BUCKETS / (USABLE_GRANULES + 1)).min(BUCKETS - 1)
}

impl Arena {
    pub(super) const fn new(number: u32) -> Self {
        Arena {
            number,
            lists: FreeLists::new(),
            buckets: [NONE; BUCKETS],
            frames: 0,
            used: 0,
            changes: 0,
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
        info.arena.store(self.number, Relaxed);
        info.used.store(0, Relaxed);
        self.enter_bucket(frames.infos, frame);
        self.frames += 1;
    }

    /// Allocates `size` granules in one of the arena's frames; `None` where no run is long
    /// enough.
    pub(super) fn allocate<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        size: usize,
    ) -> Option<u64> {
        let place = self.lists.find(size)?;
        let frame = frame_of(place);
        let start = granule_of(place);
        // SAFETY: listed runs lie in this arena's frames, and the caller holds its lock.
        unsafe {
            let bitmap = frames.bitmap(frame);
            let end = bitmap.next_used(start);
            bitmap.set(start, start + size);
            self.lists.remove(frames.memory, place, end - start);
            if end > start + size {
                let rest = place_of(frame, start + size);
                self.lists.insert(frames.memory, rest, end - start - size);
            }
        }
        self.used += size as u64;
        self.changes += 1;
        self.set_used(frames.infos, frame, |used| used + size as u32);
        Some(place)
    }

    /// Frees `size` granules at `place`. Returns the frame if it is now without chunks; it
    /// then belongs to the arena no more.
    pub(super) fn free<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        place: u64,
        size: usize,
    ) -> Option<u32> {
        let frame = frame_of(place);
        let start = granule_of(place);
        let used = frames.info(frame).used.load(Relaxed);
        self.used -= size as u64;
        self.changes += 1;
        // SAFETY: the caller owns the chunk, so its frame is this arena's.
        let bitmap = unsafe { frames.bitmap(frame) };
        bitmap.clear(start, start + size);
        if used & CLOSED != 0 {
            // The evacuator lists the runs, or gives the frame back, when it is done.
            frames.info(frame).used.store(used - size as u32, Relaxed);
            return None;
        }
        let before = bitmap.free_run_start(start);
        let after = bitmap.next_used(start + size);
        // SAFETY: the runs on both sides are free, maximal and therefore listed; the merged
        // one is not.
        unsafe {
            if before < start {
                self.lists
                    .remove(frames.memory, place_of(frame, before), start - before);
            }
            if after > start + size {
                let right = place_of(frame, start + size);
                self.lists
                    .remove(frames.memory, right, after - start - size);
            }
            if used == size as u32 {
                self.leave_bucket(frames.infos, frame);
                frames.info(frame).used.store(0, Relaxed);
                self.frames -= 1;
                return Some(frame);
            }
            self.lists
                .insert(frames.memory, place_of(frame, before), after - before);
        }
        self.set_used(frames.infos, frame, |used| used - size as u32);
        None
    }

    /// Whether so much is free that evacuating a frame is worth its cost.
    #[inline]
    pub(super) fn is_sparse(&self) -> bool {
        self.changes >= self.quiet_until
            && self.frames * GRANULES as u64 > self.used + self.used * EVACUATE_ABOVE / 1000 + SLACK
    }

    /// Nothing was won: stay quiet until a good part of the arena has changed.
    pub(super) fn quieten(&mut self) {
        self.quiet_until = self.changes + self.frames.max(16);
    }

    /// Frames of the arena, closed ones included.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Closes the emptiest frame: nothing is placed in it until it is reopened.
    pub(super) fn close_emptiest<F: FrameMemory>(&mut self, frames: &Frames<'_, F>) -> Option<u32> {
        let frame = self.buckets.iter().copied().find(|head| *head != NONE)?;
        let used = frames.info(frame).used.load(Relaxed);
        if used > WORTHWHILE {
            return None;
        }
        self.leave_bucket(frames.infos, frame);
        frames.info(frame).used.store(used | CLOSED, Relaxed);
        self.each_free_run(frames, frame, |lists, place, size| {
            // SAFETY: an open frame's maximal free runs are listed; the lock is held.
            unsafe { lists.remove(frames.memory, place, size) }
        });
        Some(frame)
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
            self.frames -= 1;
            return Some(frame);
        }
        self.each_free_run(frames, frame, |lists, place, size| {
            // SAFETY: a closed frame's free runs are not listed; the lock is held.
            unsafe { lists.insert(frames.memory, place, size) }
        });
        self.enter_bucket(frames.infos, frame);
        None
    }

    /// The next granule in use at or after `from` in a closed frame: the start of a chunk,
    /// if `from` is the frame's first granule or the end of a chunk or free.
    pub(super) fn next_chunk<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
        from: usize,
    ) -> Option<usize> {
        // SAFETY: closed frames are still the arena's, whose lock the caller holds.
        let found = unsafe { frames.bitmap(frame) }.next_used(from);
        (found < GRANULES).then_some(found)
    }

    /// The next free granule after `from` in a closed frame.
    pub(super) fn next_gap<F: FrameMemory>(
        &mut self,
        frames: &Frames<'_, F>,
        frame: u32,
        from: usize,
    ) -> usize {
        // SAFETY: as in `next_chunk`.
        unsafe { frames.bitmap(frame) }.next_free(from)
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
        let mut start = bitmap.next_free(HEADER_GRANULES);
        while start < GRANULES {
            let end = bitmap.next_used(start);
            act(&mut self.lists, place_of(frame, start), end - start);
            start = bitmap.next_free(end);
        }
    }

    fn set_used(&mut self, infos: &[FrameInfo], frame: u32, change: impl Fn(u32) -> u32) {
        let info = &infos[frame as usize];
        let old = info.used.load(Relaxed);
        let new = change(old);
        if bucket_of(old) == bucket_of(new) {
            info.used.store(new, Relaxed);
        } else {
            self.leave_bucket(infos, frame);
            info.used.store(new, Relaxed);
            self.enter_bucket(infos, frame);
        }
    }

    fn enter_bucket(&mut self, infos: &[FrameInfo], frame: u32) {
        let info = &infos[frame as usize];
        let head = &mut self.buckets[bucket_of(info.used.load(Relaxed))];
        info.next.store(*head, Relaxed);
        info.prev.store(NONE, Relaxed);
        if let Some(next) = infos.get(*head as usize) {
            next.prev.store(frame, Relaxed);
        }
        *head = frame;
    }

    fn leave_bucket(&mut self, infos: &[FrameInfo], frame: u32) {
        let info = &infos[frame as usize];
        let next = info.next.load(Relaxed);
        let prev = info.prev.load(Relaxed);
        if let Some(info) = infos.get(next as usize) {
            info.prev.store(prev, Relaxed);
        }
        match infos.get(prev as usize) {
            Some(info) => info.next.store(next, Relaxed),
            None => self.buckets[bucket_of(info.used.load(Relaxed))] = next,
        }
    }
}
