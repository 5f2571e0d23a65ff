//! The evacuator: moves the chunks of an arena's sparsest frames into the gaps of the others.
//!
//! It runs beside stores, loads and discards. The frame is closed first: from then on chunks
//! in it can be freed but none is placed, so where a chunk starts there is that chunk for as
//! long as its granule is marked. A chunk is moved under the lock of its
//! owner's slot, and only if that slot names it; a chunk that was placed but is not yet
//! committed, or that somebody reads at the moment, stays for the next pass.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::arena::WORTHWHILE;
use super::bitmap::HEADER_GRANULES;
use super::frames::{FrameInfo, NONE};
use super::memory::{Header, place_of};
use super::{Pool, Room, granules};
use crate::host::{FrameMemory, Host};
use crate::slot;

/// How often a frame is gone over for chunks that were busy.
const PASSES: usize = 3;

/// Frames that one round of the keeper evacuates, at most.
const FRAMES: usize = 16;

/// The sparsest frames of an arena, as they were when they were looked for.
struct Sparsest {
    /// Granules in use, and the frame, in ascending order.
    found: [(u32, u32); FRAMES],
}

impl Sparsest {
    /// Looks at frames `0..end`, with no lock held.
    fn of(infos: &[FrameInfo], end: u32, arena: u32) -> Self {
        let mut found = [(u32::MAX, NONE); FRAMES];
        for (frame, info) in (0..end).zip(infos) {
            let used = info.used.load(Relaxed);
            if used > WORTHWHILE || used >= found[FRAMES - 1].0 {
                continue;
            }
            if info.arena.load(Relaxed) == arena {
                let at = found.partition_point(|(other, _)| *other <= used);
                found.copy_within(at..FRAMES - 1, at + 1);
                found[at] = (used, frame);
            }
        }
        Sparsest { found }
    }

    fn frames(&self) -> impl Iterator<Item = u32> {
        let frames = self.found.iter().map(|(_, frame)| *frame);
        frames.take_while(|frame| *frame != NONE)
    }
}

/// Finds the slot of the page that owns a chunk.
pub trait Owners {
    /// The slot of page `owner`, or `None` if there is no such page.
    fn slot(&self, owner: u32) -> Option<&AtomicU64>;
}

/// What became of a chunk.
enum Moved {
    /// It lies elsewhere now; its old place, which is this long, is to be freed.
    Away(usize),
    /// It is busy.
    Busy,
    /// There is no room elsewhere.
    NoRoom,
}

impl<H: Host, F: FrameMemory> Pool<H, F> {
    /// Evacuates the sparsest frames of one arena, the next of those that are so sparse that it
    /// pays. Returns whether there was one.
    pub(super) fn evacuate(&self, host: &H, owners: &impl Owners) -> bool {
        let count = self.arenas.len();
        let start = self.evacuate_next.load(Relaxed);
        let sparse = (start..start + count)
            .map(|i| i % count)
            .find(|i| self.arenas[*i].0.lock().is_sparse());
        let Some(arena) = sparse else { return false };
        self.evacuate_next.store(arena + 1, Relaxed);
        let candidates = Sparsest::of(&self.infos, self.untouched.load(Relaxed), arena as u32);
        let mut won = false;
        for frame in candidates.frames() {
            match self.evacuate_frame(host, arena, frame, owners) {
                Some(emptied) => won |= emptied,
                None => break,
            }
        }
        if !won {
            self.arenas[arena].0.lock().quieten();
        }
        true
    }

    /// Evacuates a frame of an arena, if it is still sparse, and returns whether it is empty now;
    /// `None` if the arena is no longer sparse.
    fn evacuate_frame(
        &self,
        host: &H,
        arena: usize,
        frame: u32,
        owners: &impl Owners,
    ) -> Option<bool> {
        let lock = &self.arenas[arena].0;
        let frames_before = {
            let mut arena = lock.lock();
            if !arena.is_sparse() {
                return None;
            }
            if !arena.close(&self.frames(), frame) {
                return Some(false);
            }
            arena.frames()
        };
        for _ in 0..PASSES {
            if !self.empty_frame(host, arena, frame, owners) {
                break;
            }
        }
        let (emptied, won) = {
            let mut arena = lock.lock();
            let emptied = arena.reopen(&self.frames(), frame);
            (emptied, arena.frames() < frames_before)
        };
        if let Some(frame) = emptied {
            self.emptied.fetch_add(1, Relaxed);
            self.ready.push(&self.infos, frame);
        }
        Some(won)
    }

    /// One pass over a closed frame; returns whether another might empty it.
    fn empty_frame(&self, host: &H, arena: usize, frame: u32, owners: &impl Owners) -> bool {
        let lock = &self.arenas[arena].0;
        let (mut busy, mut moved) = (false, 0);
        let mut found = lock
            .lock()
            .next_chunk(&self.frames(), frame, HEADER_GRANULES);
        while let Some(start) = found {
            let place = place_of(frame, start);
            host.pin();
            let outcome = self.move_chunk(host, arena, place, owners);
            host.unpin();
            let mut arena = lock.lock();
            let at = match outcome {
                Moved::Away(size) => {
                    moved += 1;
                    arena.free(&self.frames(), place, size);
                    start + size
                }
                Moved::NoRoom => {
                    busy = false;
                    break;
                }
                Moved::Busy => {
                    busy = true;
                    arena.behind(&self.frames(), frame, start)
                }
            };
            found = arena.next_chunk(&self.frames(), frame, at);
        }
        self.evacuated.fetch_add(moved, Relaxed);
        busy
    }

    /// Moves the chunk at `place`, which then belongs to nobody: the caller frees it.
    fn move_chunk(&self, host: &H, arena: usize, place: u64, owners: &impl Owners) -> Moved {
        // SAFETY: the caller found the granule in use and at the start of a chunk, in a
        // frame that stays populated because it is closed and only the evacuator ends that.
        let Header { owner, .. } = unsafe { self.memory.header(place) };
        let Some(word) = owners.slot(owner) else {
            return Moved::Busy;
        };
        let (current, held) = slot::load(word);
        let chunk = match current.as_chunk() {
            Some(chunk) if chunk.place == place && !held => chunk,
            _ => return Moved::Busy,
        };
        let Some(held_slot) = slot::try_lock(word, current) else {
            return Moved::Busy;
        };
        // SAFETY: the slot names the chunk and is held until the commit below.
        let bytes = unsafe { self.memory.chunk(place, chunk.length) };
        // SAFETY: as above.
        let header = unsafe { self.memory.header(place) };
        let size = granules(chunk.length);
        let Ok(to) = self.allocate(host, arena, size, Room::Held) else {
            return Moved::NoRoom;
        };
        // SAFETY: the granules at `to` were just allocated for this chunk. Its bytes are
        // copied unread: a corrupted chunk stays corrupted, and its checksum says so.
        unsafe {
            self.memory.write_header(to, header);
            self.memory.write_bytes(to, bytes);
        }
        let old = held_slot.commit(current.moved_to(to));
        debug_assert_eq!(old.slot(), current);
        Moved::Away(size)
    }
}
