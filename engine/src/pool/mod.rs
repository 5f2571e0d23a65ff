//! The pool: memory that holds chunks.
//!
//! ```text
//! frame (64 KiB) = 4096 granules of 16 bytes
//! +--------------------+-------------+-----------------+-------------+- - -+
//! | bitmap, 32 granules| chunk       | free run        | chunk       |     |
//! | ends of chunks     | header|bytes| next|prev|  ...  | header|bytes|     |
//! +--------------------+-------------+-----------------+-------------+- - -+
//!                        owner (32) | checksum (32)
//! ```
//!
//! Frames belong to arenas, each with a lock and lists of its free runs by size; a thread
//! places its chunks through one arena and frees them in whichever they lie. The evacuator
//! empties the sparsest frame of an arena when more than a few per cent of it is free. Frames
//! without chunks go to a reserve of ready ones, and from there back to the host.
//!
//! A *place* is the index of a granule, counted over all frames.
//!
//! # Locks
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | an arena's lock | free runs and bitmaps of its frames | placing and freeing a chunk; the evacuator |
//!
//! It is the innermost lock (for the others see [`store`](crate::store)); no thread holds two, and no frame is
//! populated or released under one. A chunk's bytes are guarded by the slot that names it; before that they belong
//! to whoever placed it. The stacks of ready and of absent frames have no lock.

pub mod size;

mod arena;
mod bitmap;
mod evacuate;
mod frames;
mod free_lists;
mod memory;

#[cfg(all(test, feature = "std"))]
mod tests;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use lock_api::Mutex;

use crate::checksum::crc32c;
use crate::fallible::{NoMemory, collect};
use crate::host::{FRAME_SIZE, FrameMemory, Host};
use crate::slot::{ChunkRef, Slot, SlotGuard, Taken};
use arena::{Arena, Frames, Freed};
use bitmap::{GRANULE, GRANULES, SMALLEST_CHUNK};
use frames::{FrameInfo, Stack, frame_infos};
use memory::{CHUNK_HEADER, Header, Memory, frame_of, granule_of};

pub use evacuate::Owners;

/// Frames that the keeper readies or gives back in one round, so that it looks at its other
/// work in between.
const FRAMES_A_ROUND: u32 = 32;

/// Reserve for a pool of any size, in frames: 512 KiB.
const RESERVE_MIN: u32 = 8;

/// Share of the pool's frames that the reserve may have above [`RESERVE_MIN`].
const RESERVE_SHARE: u32 = 256;

/// Frames by which the range of those grows that were ever taken from the host.
const TOUCHED_AT_ONCE: u32 = 64;

/// The pool has no room for a chunk: it is at its limit, or the host has no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pool is full")]
pub struct Full;

/// What a chunk may be placed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The pool, while it holds no more than its limit.
    Limited,
    /// What is free in the frames that it holds, even if these are more than its limit, which
    /// was lowered; else as [`Room::Limited`]. For chunks that are moved, or make others shorter.
    Held,
    /// A frame past the limit, if nothing else is left: for the few pages that must stay in
    /// memory.
    BeyondLimit,
}

/// A chunk's bytes do not match its checksum, or it is another page's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk does not match its checksum")]
pub struct Mismatch;

/// The place of a chunk that is yet to be written there.
#[derive(Debug)]
#[must_use = "the place is lost unless it is filled"]
pub(crate) struct Placed(u64);

/// Keeps two arenas' locks from sharing a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// An arena behind its lock.
type LockedArena<L> = Padded<Mutex<L, Arena>>;

/// Memory that holds chunks. See the module's documentation.
#[derive(Debug)]
pub struct Pool<H: Host, F> {
    // 1. A frame is on `ready`, on `absent`, an arena's, or in the hands of one thread.
    // 2. Frames on `ready` and of arenas are populated, those on `absent` are not.
    // 3. `held` is at least the number of populated frames: it is raised before one is populated, and lowered
    //    after it was released.
    // 4. Frames from `untouched` on are neither ready nor an arena's.
    memory: Memory<F>,
    infos: Box<[FrameInfo]>,
    arenas: Box<[LockedArena<H::Lock>]>,
    /// Populated frames without chunks.
    ready: Stack,
    /// Frames that the host holds.
    absent: Stack,
    /// Populated frames, ready ones included.
    held: AtomicU32,
    /// The most that `held` was before it last fell.
    held_max: AtomicU32,
    /// Frames from here on were never taken from the host: a multiple of [`TOUCHED_AT_ONCE`].
    untouched: AtomicU32,
    /// The arena that the evacuator looks at first, modulo their number.
    evacuate_next: AtomicUsize,
    /// Most frames to hold.
    limit: AtomicU32,
    reserve_max: u32,
    keeper_called: AtomicBool,
    reserve_misses: AtomicU64,
    /// Chunks that the evacuator has moved.
    evacuated: AtomicU64,
    /// Frames that it has emptied.
    emptied: AtomicU64,
}

/// Whole frames in so many bytes.
fn frames_of(bytes: u64) -> u32 {
    u32::try_from(bytes / FRAME_SIZE as u64).unwrap_or(u32::MAX)
}

/// Granules that a chunk of `length` bytes takes with its header.
#[inline]
fn granules(length: usize) -> usize {
    (CHUNK_HEADER + length)
        .div_ceil(GRANULE)
        .max(SMALLEST_CHUNK)
}

impl<H: Host, F: FrameMemory> Pool<H, F> {
    /// An empty pool of at most `limit` bytes (`None`: of all frames that `memory` has), with
    /// `arenas` arenas and up to `reserve` bytes of ready frames.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for the pool's tables: 16 bytes a frame, and some 3 KiB
    /// an arena.
    #[cold]
    #[inline(never)] // what it moves is off its caller's stack
    pub fn try_new(
        memory: F,
        arenas: usize,
        limit: Option<u64>,
        reserve: u64,
    ) -> Result<Self, NoMemory> {
        let capacity = memory.capacity();
        let infos = frame_infos(capacity)?;
        let absent = Stack::new();
        // Pushed from the top so that the lowest frames are used first.
        (0..capacity)
            .rev()
            .for_each(|frame| absent.push(&infos, frame));
        Ok(Pool {
            memory: Memory(memory),
            infos,
            arenas: collect(arenas.max(1), |number| {
                Padded(Mutex::new(Arena::new(number as u32)))
            })?,
            ready: Stack::new(),
            absent,
            held: AtomicU32::new(0),
            held_max: AtomicU32::new(0),
            untouched: AtomicU32::new(0),
            evacuate_next: AtomicUsize::new(0),
            limit: AtomicU32::new(limit.map_or(capacity, frames_of).min(capacity)),
            reserve_max: frames_of(reserve),
            keeper_called: AtomicBool::new(false),
            reserve_misses: AtomicU64::new(0),
            evacuated: AtomicU64::new(0),
            emptied: AtomicU64::new(0),
        })
    }

    fn frames(&self) -> Frames<'_, F> {
        Frames {
            memory: &self.memory,
            infos: &self.infos,
        }
    }

    /// Stores a chunk and returns its place, which the caller commits to the owner's slot.
    ///
    /// `arena` is the arena to try first, modulo their number; `room` is what may be used.
    ///
    /// # Errors
    /// [`Full`] if no arena has room and no frame may be added or can be had.
    pub fn insert(
        &self,
        host: &H,
        arena: usize,
        owner: u32,
        bytes: &[u8],
        room: Room,
    ) -> Result<u64, Full> {
        if matches!(room, Room::Limited) && self.excess() > 0 {
            return Err(Full);
        }
        let place = self.allocate(host, arena, granules(bytes.len()), room)?;
        Ok(self.fill(Placed(place), owner, bytes))
    }

    fn allocate(&self, host: &H, arena: usize, size: usize, room: Room) -> Result<u64, Full> {
        let home = arena % self.arenas.len();
        if let Some(place) = self.arenas[home].0.lock().allocate(&self.frames(), size) {
            return Ok(place);
        }
        self.allocate_elsewhere(host, home, size, room)
    }

    /// Allocates if the home arena has no room.
    #[cold]
    fn allocate_elsewhere(
        &self,
        host: &H,
        home: usize,
        size: usize,
        room: Room,
    ) -> Result<u64, Full> {
        if let Some(frame) = self.take_frame(host, false) {
            return self.allocate_in(home, frame, size);
        }
        // Full: what is left lies in the other arenas.
        let others = (1..self.arenas.len()).find_map(|i| {
            let other = &self.arenas[(home + i) % self.arenas.len()].0;
            other.lock().allocate(&self.frames(), size)
        });
        match others {
            Some(place) => Ok(place),
            None if matches!(room, Room::BeyondLimit) => {
                let frame = self.take_frame(host, true).ok_or(Full)?;
                self.allocate_in(home, frame, size)
            }
            None => Err(Full),
        }
    }

    /// Adds a frame to an arena, and allocates in it.
    fn allocate_in(&self, arena: usize, frame: u32, size: usize) -> Result<u64, Full> {
        let mut arena = self.arenas[arena].0.lock();
        arena.add_frame(&self.frames(), frame);
        arena.allocate(&self.frames(), size).ok_or(Full)
    }

    /// Finds places for chunks of these lengths, one after the other, in the arena of this number or
    /// wherever there is room, until there is none. Each is to be filled by [`Pool::fill`].
    pub(crate) fn place_each<'a>(
        &self,
        host: &H,
        arena: usize,
        mut wanted: impl Iterator<Item = (usize, &'a mut Option<Placed>)>,
    ) {
        if self.excess() > 0 {
            return;
        }
        let home = arena % self.arenas.len();
        let mut next = wanted.next();
        while next.is_some() {
            let mut arena = self.arenas[home].0.lock();
            while let Some((length, placed)) = &mut next {
                let Some(place) = arena.allocate(&self.frames(), granules(*length)) else {
                    break;
                };
                **placed = Some(Placed(place));
                next = wanted.next();
            }
            drop(arena);
            if let Some((length, placed)) = next.take() {
                let size = granules(length);
                let Ok(place) = self.allocate_elsewhere(host, home, size, Room::Limited) else {
                    return;
                };
                *placed = Some(Placed(place));
                next = wanted.next();
            }
        }
    }

    /// Stores a chunk where it was placed with its length, and returns that place, which the caller
    /// commits to the owner's slot.
    pub(crate) fn fill(&self, Placed(place): Placed, owner: u32, bytes: &[u8]) -> u64 {
        // SAFETY: these granules were allocated for a chunk of this length, which is made once.
        unsafe {
            // The checksum is that of the copy: a page that is stored as it is may change meanwhile, since a program
            // can write to a buffer that it has the kernel write from (direct I/O).
            let copy = self.memory.write_bytes(place, bytes);
            let checksum = crc32c(owner, copy);
            self.memory.write_header(place, Header { owner, checksum });
        }
        place
    }

    /// Frees the chunks that slots named, with the lock of an arena taken once for those that
    /// follow one another in it.
    pub(crate) fn remove_each(&self, host: &H, taken: impl Iterator<Item = Taken>) {
        let mut chunks = taken.filter_map(|taken| taken.slot().as_chunk());
        let mut next = chunks.next();
        let mut call = false;
        while let Some(first) = next {
            let number = self.arena_of(first.place);
            let mut arena = self.arenas[number].0.lock();
            let mut chunk = first;
            next = loop {
                let freed = arena.free(&self.frames(), chunk.place, granules(chunk.length));
                call |= self.keep_emptied(freed);
                match chunks.next() {
                    Some(other) if self.arena_of(other.place) == number => chunk = other,
                    other => break other,
                }
            };
        }
        if call {
            self.call_keeper(host);
        }
    }

    /// The arena in which a chunk lies (3 of [`FrameInfo`]).
    #[inline]
    fn arena_of(&self, place: u64) -> usize {
        self.infos[frame_of(place) as usize].arena.load(Relaxed) as usize
    }

    /// Frees the chunk that a slot named, if it named one.
    pub(crate) fn remove(&self, host: &H, taken: Taken) {
        if let Some(chunk) = taken.slot().as_chunk() {
            self.free(host, chunk);
        }
    }

    /// Frees a chunk that [`Pool::insert`] placed for a slot that does not come to name it.
    pub(crate) fn take_back(&self, host: &H, slot: Slot) {
        if let Some(chunk) = slot.as_chunk() {
            self.free(host, chunk);
        }
    }

    #[inline]
    fn free(&self, host: &H, ChunkRef { place, length, .. }: ChunkRef) {
        let arena = self.arena_of(place);
        let freed = {
            let mut arena = self.arenas[arena].0.lock();
            arena.free(&self.frames(), place, granules(length))
        };
        if self.keep_emptied(freed) {
            self.call_keeper(host);
        }
    }

    /// Makes a frame ready that has become empty; whether the keeper has work then.
    #[inline]
    fn keep_emptied(&self, Freed { emptied, sparse }: Freed) -> bool {
        if let Some(frame) = emptied {
            self.ready.push(&self.infos, frame);
        }
        sparse || emptied.is_some() && self.has_surplus()
    }

    /// The bytes of the chunk that a slot of this pool's table names, once they match their
    /// checksum. They stay for as long as the slot is held.
    ///
    /// # Errors
    /// [`Mismatch`] if the chunk is not `owner`'s or was changed.
    pub(crate) fn get<'a>(
        &'a self,
        held: &'a SlotGuard<'_, AtomicU64>,
        owner: u32,
    ) -> Result<&'a [u8], Mismatch> {
        let Some(ChunkRef { place, length, .. }) = held.current().as_chunk() else {
            return Err(Mismatch);
        };
        let fits = granule_of(place) + granules(length) <= GRANULES;
        if frame_of(place) >= self.memory.0.capacity() || !fits {
            return Err(Mismatch);
        }
        // SAFETY: a chunk is committed to a slot only when it is complete, and is freed or
        // moved only by whoever holds the slot or has replaced its value (2 and 3 of `Slot`), which
        // the lock that `held` proves rules out for as long as the bytes are borrowed.
        let (header, bytes) =
            unsafe { (self.memory.header(place), self.memory.chunk(place, length)) };
        if header
            != (Header {
                owner,
                checksum: crc32c(owner, bytes),
            })
        {
            return Err(Mismatch);
        }
        Ok(bytes)
    }

    /// Flips a bit in the middle of the chunk that a slot names, if it names one.
    pub(crate) fn flip_bit(&self, held: &SlotGuard<'_, AtomicU64>) -> bool {
        let Some(ChunkRef { place, length, .. }) = held.current().as_chunk() else {
            return false;
        };
        // SAFETY: the slot names a chunk of this length, and is held, so that nobody else reads or
        // moves it meanwhile.
        unsafe { self.memory.flip_bit(place, length / 2) };
        true
    }

    /// A populated frame for an arena.
    fn take_frame(&self, host: &H, over_limit: bool) -> Option<u32> {
        let frame = match self.ready.pop(&self.infos) {
            Some(frame) => frame,
            None => {
                let frame = self.populate_frame(over_limit, false)?;
                self.reserve_misses.fetch_add(1, Relaxed);
                frame
            }
        };
        if self.ready_count() < self.reserve_target() / 2 {
            self.call_keeper(host);
        }
        Some(frame)
    }

    /// Takes a frame from the host, which may wait for memory only if `may_wait` is set.
    fn populate_frame(&self, over_limit: bool, may_wait: bool) -> Option<u32> {
        let limit = if over_limit {
            u32::MAX
        } else {
            self.limit.load(Relaxed)
        };
        self.held
            .fetch_update(Relaxed, Relaxed, |held| (held < limit).then_some(held + 1))
            .ok()?;
        let frame = self.absent.pop(&self.infos);
        if let Some(frame) = frame {
            if self.memory.0.populate(frame, may_wait).is_ok() {
                if self.untouched.load(Relaxed) <= frame {
                    let end = (frame / TOUCHED_AT_ONCE + 1) * TOUCHED_AT_ONCE;
                    self.untouched.fetch_max(end, Relaxed);
                }
                return Some(frame);
            }
            self.absent.push(&self.infos, frame);
        }
        self.held.fetch_sub(1, Relaxed);
        None
    }

    /// Populated frames without chunks.
    fn ready_count(&self) -> u32 {
        self.ready.count(&self.infos)
    }

    /// Readies a frame if none is ready; may wait for memory. Returns whether one is ready
    /// then. For a writer that found no room, may sleep, and tries again.
    pub fn top_up(&self) -> bool {
        if self.ready_count() == 0
            && let Some(frame) = self.populate_frame(false, true)
        {
            self.ready.push(&self.infos, frame);
        }
        self.ready_count() > 0
    }

    /// Bytes of ready frames beyond the least that a pool of any size keeps.
    pub(crate) fn shrinkable_bytes(&self) -> u64 {
        let frames = self.ready_count().saturating_sub(RESERVE_MIN);
        u64::from(frames) * FRAME_SIZE as u64
    }

    /// Gives up to `bytes` of ready frames back to the host, and returns how many.
    pub(crate) fn shrink(&self, bytes: u64) -> u64 {
        let mut released = 0;
        while released < bytes && self.shrinkable_bytes() > 0 && self.release_ready() {
            released += FRAME_SIZE as u64;
        }
        released
    }

    /// Gives a ready frame back to the host, if there is one.
    fn release_ready(&self) -> bool {
        let Some(frame) = self.ready.pop(&self.infos) else {
            return false;
        };
        self.memory.0.release(frame);
        self.absent.push(&self.infos, frame);
        // Whoever makes it less keeps the most, so that whoever makes it more need not.
        let held = self.held.fetch_sub(1, Relaxed);
        if self.held_max.load(Relaxed) < held {
            self.held_max.fetch_max(held, Relaxed);
        }
        true
    }

    /// Frames held beyond the limit.
    pub(crate) fn excess(&self) -> u32 {
        let held = self.held.load(Relaxed);
        held.saturating_sub(self.limit.load(Relaxed))
    }

    /// Ready frames that the keeper leaves: beyond the limit, those that are not to be given back.
    fn reserve_target(&self) -> u32 {
        match self.excess() {
            0 => (self.held.load(Relaxed) / RESERVE_SHARE)
                .max(RESERVE_MIN)
                .min(self.reserve_max),
            excess => self.ready_count().saturating_sub(excess),
        }
    }

    /// Whether there are so many ready frames that the keeper is to give some back: beyond the limit,
    /// any.
    fn has_surplus(&self) -> bool {
        let ready = self.ready_count();
        ready > self.reserve_target() + FRAMES_A_ROUND / 2 || ready > 0 && self.excess() > 0
    }

    pub(crate) fn call_keeper(&self, host: &H) {
        if !self.keeper_called.load(Relaxed) && !self.keeper_called.swap(true, Relaxed) {
            host.wake_keeper();
        }
    }

    /// One round of the keeper: evacuates some frames of an arena that is sparse, readies frames,
    /// and gives surplus ones back, up to 32 of each. Returns whether there is more to do at once.
    ///
    /// Meant for one thread at a time; `owners` finds the slot of a chunk's owner.
    pub fn keep(&self, host: &H, owners: &impl Owners) -> bool {
        self.keeper_called.store(false, Relaxed);
        let more = self.evacuate(host, owners);
        let target = self.reserve_target();
        for _ in 0..FRAMES_A_ROUND {
            if self.ready_count() >= target {
                break;
            }
            let Some(frame) = self.populate_frame(false, true) else {
                return more;
            };
            self.ready.push(&self.infos, frame);
        }
        for _ in 0..FRAMES_A_ROUND {
            if self.ready_count() <= target || !self.release_ready() {
                break;
            }
        }
        more || self.ready_count() != target
    }

    /// Changes the most bytes that the pool may hold (`None`: as many as its frames). What it holds beyond stays
    /// until chunks are freed, and then the keeper gives the frames back; before, none is added. Returns whether
    /// the limit was lowered: the keeper is to be called. Meant for one thread at a time.
    pub fn set_limit(&self, limit: Option<u64>) -> bool {
        let capacity = self.memory.0.capacity();
        let frames = limit.map_or(capacity, frames_of).min(capacity);
        let before = self.limit.load(Relaxed);
        // Usually the same: the cache line is then left to all who read it.
        if frames != before {
            self.limit.store(frames, Relaxed);
        }
        frames < before
    }

    /// Bytes of memory that the pool holds, ready frames included.
    pub fn bytes(&self) -> u64 {
        u64::from(self.held.load(Relaxed)) * FRAME_SIZE as u64
    }

    /// The most bytes of memory that the pool ever held.
    pub fn bytes_max(&self) -> u64 {
        let most = self.held_max.load(Relaxed).max(self.held.load(Relaxed));
        u64::from(most) * FRAME_SIZE as u64
    }

    /// Bytes of the pool's own tables.
    pub fn table_bytes(&self) -> u64 {
        (size_of_val(&*self.infos) + size_of_val(&*self.arenas)) as u64
    }

    /// Bytes of ready frames.
    pub fn reserve_bytes(&self) -> u64 {
        u64::from(self.ready_count()) * FRAME_SIZE as u64
    }

    /// How many frames were taken from the host by a thread that had a chunk to store.
    pub fn reserve_misses(&self) -> u64 {
        self.reserve_misses.load(Relaxed)
    }

    /// The memory that the pool was made with.
    pub fn frame_memory(&self) -> &F {
        &self.memory.0
    }

    /// How many chunks the evacuator has moved.
    pub fn evacuated(&self) -> u64 {
        self.evacuated.load(Relaxed)
    }

    /// Bytes of frames that the evacuator has emptied.
    pub fn evacuated_bytes(&self) -> u64 {
        self.emptied.load(Relaxed) * FRAME_SIZE as u64
    }
}
