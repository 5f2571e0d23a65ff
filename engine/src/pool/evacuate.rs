//! The evacuator: moves the chunks of an arena's sparsest frame into the gaps of the others.
//!
//! It runs beside stores, loads and discards. The frame is closed first: from then on chunks
//! in it can be freed but none is placed, so what starts at a granule in use is the start of
//! a chunk for as long as that granule stays in use. A chunk is moved under the lock of its
//! owner's slot, and only if that slot names it; a chunk that was placed but is not yet
//! committed, or that somebody reads at the moment, stays for the next pass.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bitmap::HEADER_GRANULES;
use super::memory::{Header, place_of};
use super::{Pool, granules};
use crate::host::{FrameMemory, Host};
use crate::slot;

/// How often a frame is gone over for chunks that were busy.
const PASSES: usize = 3;

/// Finds the slot of the page that owns a chunk.
pub trait Owners {
    /// The slot of page `owner`, or `None` where there is no such page.
    fn slot(&self, owner: u32) -> Option<&AtomicU64>;
}

/// What became of a chunk.
enum Moved {
    /// It lies elsewhere now; its old place was this long.
    Away(usize),
    /// It is busy.
    Busy,
    /// There is no room elsewhere.
    NoRoom,
}

impl<H: Host, F: FrameMemory> Pool<H, F> {
    /// Evacuates the sparsest frame of an arena if so much of it is free that it pays.
    /// Returns whether that was so.
    pub(super) fn evacuate_frame(&self, host: &H, arena: usize, owners: &impl Owners) -> bool {
        let lock = &self.arenas[arena].0;
        let (frame, frames_before) = {
            let mut arena = lock.lock();
            if !arena.is_sparse() {
                return false;
            }
            let Some(frame) = arena.close_emptiest(&self.frames()) else {
                arena.quieten();
                return false;
            };
            (frame, arena.frames())
        };
        for _ in 0..PASSES {
            if !self.empty_frame(host, arena, frame, owners) {
                break;
            }
        }
        let mut arena = lock.lock();
        let emptied = arena.reopen(&self.frames(), frame);
        if arena.frames() >= frames_before {
            arena.quieten();
        }
        drop(arena);
        if let Some(frame) = emptied {
            self.emptied.fetch_add(1, Relaxed);
            self.ready.push(&self.infos, frame);
        }
        true
    }

    /// One pass over a closed frame; returns whether another might empty it.
    fn empty_frame(&self, host: &H, arena: usize, frame: u32, owners: &impl Owners) -> bool {
        let lock = &self.arenas[arena].0;
        let mut busy = false;
        let mut at = HEADER_GRANULES;
        loop {
            let found = lock.lock().next_chunk(&self.frames(), frame, at);
            let Some(start) = found else { return busy };
            host.pin();
            let moved = self.move_chunk(host, arena, place_of(frame, start), owners);
            host.unpin();
            match moved {
                Moved::Away(size) => at = start + size,
                Moved::NoRoom => return false,
                Moved::Busy => {
                    // Its length is not known for certain: go on behind the next gap.
                    busy = true;
                    at = lock.lock().next_gap(&self.frames(), frame, start);
                }
            }
        }
    }

    fn move_chunk(&self, host: &H, arena: usize, place: u64, owners: &impl Owners) -> Moved {
        // SAFETY: the caller found the granule in use and at the start of a chunk, in a
        // frame that stays populated because it is closed and only the evacuator ends that.
        let Header { owner, .. } = unsafe { self.memory.header(place) };
        let Some(word) = owners.slot(owner) else {
            return Moved::Busy;
        };
        let (said, held) = slot::glance(word);
        let chunk = match said.as_chunk() {
            Some(chunk) if chunk.place == place && !held => chunk,
            _ => return Moved::Busy,
        };
        let Some(held_slot) = slot::try_lock(word, said) else {
            return Moved::Busy;
        };
        // SAFETY: the slot names the chunk and is held until the commit below.
        let bytes = unsafe { self.memory.chunk(place, chunk.length) };
        // SAFETY: as above.
        let header = unsafe { self.memory.header(place) };
        let size = granules(chunk.length);
        let Ok(to) = self.allocate(host, arena, size, false) else {
            return Moved::NoRoom;
        };
        // SAFETY: the granules at `to` were just allocated for this chunk. Its bytes are
        // copied unread: a corrupted chunk stays corrupted, and its checksum says so.
        unsafe { self.memory.write_chunk(to, header, bytes) };
        let old = held_slot.commit(said.moved_to(to));
        debug_assert_eq!(old.slot(), said);
        self.arenas[arena]
            .0
            .lock()
            .free(&self.frames(), place, size);
        self.evacuated.fetch_add(1, Relaxed);
        Moved::Away(size)
    }
}
