//! Recompression: pages that stay cold are compressed once more, by a codec that takes its
//! time.
//!
//! One thread, the [`Recompressor`], goes over the slots again and again; each time round is
//! an *epoch*. It raises the age of every chunk's slot by one, while a read sets the age to 0
//! with the store that unlocks the slot anyway, and a write makes a new slot. What
//! reaches the policy's age is compressed again, some pages at a time:
//!
//! 1. Each chunk is copied out under the lock of its slot.
//! 2. The copies are decompressed and compressed, with no lock held.
//! 3. Each slot is locked again if its value is still the very same, age included. The new
//!    chunk is stored, the slot commits, the old chunk is freed.
//!
//! That the slot's value is the same proves that the page is the same, even if its chunk was
//! freed and another one of the same length was placed there since: a slot whose page was
//! written is of age 0, and only this thread raises ages (4 of [`Store`]), which it does not do
//! between 1 and 3. (The evacuator may have moved the chunk away and back, which changes no byte of it.)
//!
//! A chunk that did not get smaller is marked and not tried again until its page is
//! written. Once an epoch finds only chunks of the policy's codec and marked ones, there is
//! nothing to do until the next write, and the thread can [`set_idle`](Recompressor::set_idle).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::limits::INCOMPRESSIBLE_ABOVE;
use super::pages::Store;
use super::read::decompress_chunk;
use super::worker::Worker;
use crate::codec::{CodecId, CodecSpec, Codecs};
use crate::fallible::{NoMemory, boxed_page, reserved};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::Page;
use crate::pool::Room;
use crate::slot::{self, ChunkRef, MAX_AGE, Slot};

/// Chunks that one step recompresses at most: well under 2 ms of work with zstd:1.
const BATCH: usize = 16;

/// Slots that one step looks at, at least, unless it finds a batch among them.
const SLOTS_A_STEP: u64 = 4096;

/// What becomes of pages that stay cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdPolicy {
    /// What they are compressed with. Chunks of the same codec stay as they are.
    pub codec: CodecSpec,
    /// The age at which a page is cold: epochs that began and ended since it was last
    /// touched, plus one or two. 1 to [`MAX_AGE`]; other values count as the nearest of these.
    pub age: u8,
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do in this epoch.
    Within,
    /// The epoch is over.
    EpochEnded {
        /// Chunks that are still to age or to recompress.
        left: u64,
    },
}

/// A chunk on its way to become smaller.
struct Copied {
    owner: u32,
    slot: Slot,
    chunk: ChunkRef,
    /// The chunk's bytes; then those of the new one.
    bytes: Box<Page>,
    /// Length of the new chunk; `None` if it does not pay.
    shrunk: Option<usize>,
}

/// The one thread that recompresses a store's cold pages. See the module's documentation.
pub struct Recompressor<'a, H: Host, F, S> {
    store: &'a Store<H, F, S>,
    worker: Worker<H::Codecs>,
    /// Where a page is restored.
    page: Box<Page>,
    batch: Vec<Copied>,
    /// Copies without a chunk: their memory is used again.
    spare: Vec<Box<Page>>,
    /// The slot to look at next.
    cursor: u64,
    /// Chunks of this epoch that are still to age or to recompress.
    left: u64,
    /// The pool had no room for a chunk in this epoch.
    full: bool,
}

impl<H: Host, F, S> core::fmt::Debug for Recompressor<'_, H, F, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recompressor")
            .field("cursor", &self.cursor)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The longest chunk that is worth replacing one of `length` bytes: shorter by at least a
/// sixteenth and by a granule of the pool.
fn worth(length: usize) -> usize {
    length
        .saturating_sub((length / 16).max(16))
        .min(INCOMPRESSIBLE_ABOVE)
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Makes this thread the recompressor until what is returned is dropped; `None` while
    /// there is one already.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for its worker and for copies of some chunks.
    pub fn try_recompressor(&self) -> Result<Option<Recompressor<'_, H, F, S>>, NoMemory> {
        let mut spare = reserved(BATCH)?;
        for _ in 0..BATCH {
            spare.push(boxed_page()?);
        }
        let (worker, page, batch) = (self.try_worker()?, boxed_page()?, reserved(BATCH)?);
        if self.recompressing.swap(true, Acquire) {
            return Ok(None);
        }
        Ok(Some(Recompressor {
            store: self,
            worker,
            page,
            batch,
            spare,
            cursor: 0,
            left: 0,
            full: false,
        }))
    }

    /// Wakes the recompressor if it is idle.
    #[inline]
    pub(super) fn end_idle(&self) {
        if self.recompressor_idle.load(Relaxed) && self.recompressor_idle.swap(false, Relaxed) {
            self.host.wake_recompressor();
        }
    }
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Recompressor<'_, H, F, S> {
    /// Ages some thousand slots, and recompresses up to 16 chunks that are found cold. An
    /// epoch must use one policy throughout. Slots and the pool's arenas are locked only
    /// between [`Host::pin`] and [`Host::unpin`], each called twice at most.
    pub fn step(&mut self, policy: ColdPolicy) -> Progress {
        let ended = self.age_and_collect(policy);
        if !self.batch.is_empty() {
            let host = &self.store.host;
            host.pin();
            self.copy_out();
            host.unpin();
            self.shrink(policy.codec);
            host.pin();
            self.commit(policy.codec.id());
            host.unpin();
        }
        if !ended {
            return Progress::Within;
        }
        self.cursor = 0;
        self.full = false;
        Progress::EpochEnded {
            left: core::mem::take(&mut self.left),
        }
    }

    /// Announces that nothing is to do until a page is written: the next write calls
    /// [`Host::wake_recompressor`], once.
    ///
    /// A write that is under way may not notice. The thread may sleep without a limit only
    /// once a whole epoch that began after this call has ended with nothing left and
    /// [`Recompressor::is_idle`] still says so.
    pub fn set_idle(&self) {
        self.store.recompressor_idle.store(true, Relaxed);
    }

    /// Whether no page was written since [`Recompressor::set_idle`].
    pub fn is_idle(&self) -> bool {
        self.store.recompressor_idle.load(Relaxed)
    }

    /// Ages slots from the cursor on and collects those of cold chunks, without locking any.
    /// Returns whether the end was reached.
    fn age_and_collect(&mut self, policy: ColdPolicy) -> bool {
        let cold = policy.age.clamp(1, MAX_AGE);
        let pages = self.store.pages();
        let stop = self.cursor.saturating_add(SLOTS_A_STEP);
        while self.cursor < stop {
            let written = self.store.table.next_written(self.cursor);
            let Some(range) = written.filter(|range| range.start < pages) else {
                return true;
            };
            for index in range.start..range.end.min(pages) {
                self.cursor = index + 1;
                self.age_slot(index, policy.codec.id(), cold);
                if self.batch.len() == BATCH {
                    return false;
                }
            }
        }
        false
    }

    /// Ages the slot of a page, and puts it into the batch if it is cold.
    fn age_slot(&mut self, index: u64, codec: CodecId, cold: u8) {
        let Some(word) = self.store.table.get(index) else {
            return;
        };
        let (current, held) = slot::load(word);
        let Some(chunk) = current.as_chunk() else {
            // What is held or in transit may become a chunk, or again what it was.
            self.left += u64::from(held || current.is_in_transit());
            return;
        };
        if current.no_recompress() || chunk.codec == codec || chunk.codec == CodecId::Fill {
            return;
        }
        self.left += 1;
        if held {
            return;
        }
        // Pages have 32-bit numbers: see `MAX_PAGES`.
        let (Some(current), Ok(owner)) = (slot::age(word, current), u32::try_from(index)) else {
            return;
        };
        if current.age() >= cold
            && !self.full
            && let Some(bytes) = self.spare.pop()
        {
            self.batch.push(Copied {
                owner,
                slot: current,
                chunk,
                bytes,
                shrunk: None,
            });
        }
    }

    /// Copies the chunks of the batch; those whose slots are busy or changed leave it.
    fn copy_out(&mut self) {
        let Self {
            store,
            batch,
            spare,
            left,
            worker,
            ..
        } = self;
        let shard = store.counters.shard(worker.number);
        for i in (0..batch.len()).rev() {
            let copied = &mut batch[i];
            let held = store
                .table
                .get(copied.owner.into())
                .and_then(|word| slot::try_lock(word, copied.slot));
            let bytes = held.as_ref().map(|held| store.pool.get(held, copied.owner));
            match bytes {
                Some(Ok(bytes)) => {
                    copied.bytes[..bytes.len()].copy_from_slice(bytes);
                    continue;
                }
                // Its reader will get the error; it is counted once here.
                Some(Err(_)) => {
                    drop(held);
                    shard.add(&shard.corrupt, 1);
                    *left -= u64::from(mark_no_recompress(store, copied));
                }
                None => {}
            }
            spare.push(batch.swap_remove(i).bytes);
        }
    }

    /// Compresses what was copied; no lock is held.
    fn shrink(&mut self, spec: CodecSpec) {
        let scratch = &mut self.worker.scratch;
        for copied in &mut self.batch {
            let ChunkRef { length, codec, .. } = copied.chunk;
            let restored = decompress_chunk::<H::Codecs>(
                scratch,
                codec,
                &copied.bytes[..length],
                &mut self.page,
            );
            copied.shrunk = restored.and_then(|()| {
                let out = &mut copied.bytes[..worth(length)];
                H::Codecs::compress(spec, &self.page, scratch, out)
            });
        }
    }

    /// Stores the chunks that became smaller, commits their slots and frees the old ones.
    fn commit(&mut self, codec: CodecId) {
        let mut batch = core::mem::take(&mut self.batch);
        for copied in batch.drain(..) {
            let done = match copied.shrunk {
                Some(length) => self.replace(&copied, length, codec),
                None => {
                    let shard = self.store.counters.shard(self.worker.number);
                    shard.add(&shard.recompress_no_gain, 1);
                    mark_no_recompress(self.store, &copied)
                }
            };
            self.left -= u64::from(done);
            self.spare.push(copied.bytes);
        }
        self.batch = batch;
    }

    /// Puts the new chunk in the place of the old one, unless the slot has changed or the
    /// pool has no room; returns whether it did.
    fn replace(&mut self, copied: &Copied, length: usize, codec: CodecId) -> bool {
        let store = self.store;
        let Worker { number, .. } = self.worker;
        let word = store.table.get(copied.owner.into());
        let Some(held) = word.and_then(|word| slot::try_lock(word, copied.slot)) else {
            return false;
        };
        let bytes = &copied.bytes[..length];
        let Ok(place) = store
            .pool
            .insert(&store.host, number, copied.owner, bytes, Room::Held)
        else {
            self.full = true;
            return false;
        };
        let shard = store.counters.shard(number);
        let new = Slot::chunk(ChunkRef {
            place,
            length,
            codec,
        });
        store.exchange(shard, held, new);
        shard.add(&shard.recompressed, 1);
        let saved = copied.chunk.length - length;
        shard.add(&shard.recompress_saved, saved as u64);
        true
    }
}

/// Marks a chunk as not worth another try, unless its slot has changed.
fn mark_no_recompress<H: Host, F: FrameMemory, S: SlotMemory>(
    store: &Store<H, F, S>,
    copied: &Copied,
) -> bool {
    let word = store.table.get(copied.owner.into());
    word.is_some_and(|word| slot::mark_no_recompress(word, copied.slot))
}

impl<H: Host, F, S> Drop for Recompressor<'_, H, F, S> {
    fn drop(&mut self) {
        self.store.recompressor_idle.store(false, Relaxed);
        self.store.recompressing.store(false, Release);
    }
}
