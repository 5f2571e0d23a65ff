//! What a cache does with single slots: compress first, then store the chunk, then commit it.

use core::sync::atomic::AtomicU64;

use super::counters::Shard;
use super::limits::INCOMPRESSIBLE_ABOVE;
use super::pages::Store;
use super::read::decompress_chunk;
use super::release::commit_held;
use super::worker::Worker;
use crate::codec::CodecId;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{Page, fill, same_filled};
use crate::pool::{Full, Room};
use crate::slot::{self, ChunkRef, Entry, Slot, SlotGuard, Taken};

/// A page, compressed, that has no place yet.
#[derive(Debug)]
pub(crate) struct CompressedPage<'a> {
    content: Content<'a>,
    number: usize,
}

#[derive(Debug)]
enum Content<'a> {
    Slot(Slot),
    Chunk { codec: CodecId, bytes: &'a [u8] },
}

impl CompressedPage<'_> {
    /// Whether the page does not compress: its chunk would be the page itself.
    pub(crate) fn is_incompressible(&self) -> bool {
        matches!(
            self.content,
            Content::Chunk {
                codec: CodecId::Raw,
                ..
            }
        )
    }
}

/// What a slot holds, while it cannot change.
pub(crate) enum SlotContents<'a> {
    /// The page is held by the slot itself.
    Same(u64),
    /// A chunk, which stays for as long as this lives.
    Chunk(SlotGuard<'a, AtomicU64>),
    /// Not held.
    Absent(Slot),
    /// Somebody else holds the slot: try again.
    Busy,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Compresses a page.
    pub(crate) fn compress_page<'a>(
        &self,
        worker: &'a mut Worker<H::Codecs>,
        page: &'a Page,
    ) -> CompressedPage<'a> {
        let number = worker.number;
        let repeated = same_filled(page);
        let content = match repeated.and_then(Slot::same) {
            Some(slot) => Content::Slot(slot),
            None => {
                let (codec, bytes) = self.compress(worker, page, repeated, INCOMPRESSIBLE_ABOVE);
                Content::Chunk { codec, bytes }
            }
        };
        CompressedPage { content, number }
    }

    /// Stores what a page was compressed to, for slot `index`. To be given to [`Store::try_commit_chunk`] or
    /// [`Store::release_chunk`].
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn store_chunk(
        &self,
        index: u32,
        compressed: &CompressedPage<'_>,
    ) -> Result<Slot, Full> {
        Ok(match compressed.content {
            Content::Slot(slot) => slot,
            Content::Chunk { codec, bytes } => {
                let place =
                    self.pool
                        .insert(&self.host, compressed.number, index, bytes, Room::Held)?;
                let length = bytes.len();
                Slot::chunk(ChunkRef {
                    place,
                    length,
                    codec,
                })
            }
        })
    }

    /// Commits to slot `index` what was stored for it, unless the slot is locked. What the slot held
    /// is to be given to [`Store::release_taken`].
    pub(crate) fn try_commit_chunk(
        &self,
        compressed: &CompressedPage<'_>,
        index: u32,
        placed: Slot,
    ) -> Option<Taken> {
        let shard = self.counters.shard(compressed.number);
        let taken = self.try_set(shard, index, placed)?;
        shard.add(&shard.writes, 1);
        self.end_idle();
        Some(taken)
    }

    /// Frees what was stored for a slot but not committed.
    pub(crate) fn release_chunk(&self, placed: Slot) {
        self.pool.take_back(&self.host, placed);
    }

    /// Makes the memory of slot `index` ready, and returns whether there is some. To be called before
    /// the slot is used at all.
    pub(crate) fn populate_slot(&self, index: u32) -> bool {
        self.table.get_to_write(u64::from(index)).is_ok()
    }

    /// Stores `new`, which names no chunk, in slot `index`, unless the slot is locked. What it held is
    /// to be given to [`Store::release_taken`].
    pub(crate) fn try_clear(&self, index: u32, new: Slot) -> Option<Taken> {
        self.try_set(self.counters.shared(), index, new)
    }

    /// Frees what slots held.
    pub(crate) fn release_taken(&self, taken: impl Iterator<Item = Taken>) {
        self.release_each(self.counters.shared(), taken);
    }

    /// Stores `new` in slot `index`, unless it is locked.
    fn try_set(&self, shard: &Shard, index: u32, new: Slot) -> Option<Taken> {
        let word = self.table.get_to_write(u64::from(index)).ok()?;
        let (current, _) = slot::load(word);
        let held = slot::try_lock(word, current)?;
        Some(commit_held(shard, held, new))
    }

    /// The contents of slot `index`, which is locked if it names a chunk. Does not wait.
    pub(crate) fn slot_contents(&self, index: u32) -> SlotContents<'_> {
        let Some(word) = self.table.get(u64::from(index)) else {
            return SlotContents::Absent(Slot::EMPTY);
        };
        let (current, busy) = slot::load(word);
        match current.entry() {
            Some(Entry::Same(word)) if !busy => SlotContents::Same(word),
            Some(Entry::Chunk(_)) if !busy => {
                slot::try_lock(word, current).map_or(SlotContents::Busy, SlotContents::Chunk)
            }
            _ if busy => SlotContents::Busy,
            _ => SlotContents::Absent(current),
        }
    }

    /// Restores the page of a chunk, and unlocks its slot; `None` if it is corrupt.
    pub(crate) fn restore_chunk(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u32,
        held: SlotGuard<'_, AtomicU64>,
        page: &mut Page,
    ) -> Option<()> {
        let restored = held.current().as_chunk().and_then(|chunk| {
            let bytes = self.pool.get(&held, index).ok()?;
            decompress_chunk::<H::Codecs>(&mut worker.scratch, chunk.codec, bytes, page)
        });
        held.touch();
        let shard = self.counters.shard(worker.number);
        shard.add(&shard.reads, 1);
        if restored.is_none() {
            shard.add(&shard.corrupt, 1);
        }
        restored
    }

    /// Fills a page that is held by its slot.
    pub(crate) fn restore_same_filled(
        &self,
        worker: &Worker<H::Codecs>,
        word: u64,
        page: &mut Page,
    ) {
        fill(page, word);
        let shard = self.counters.shard(worker.number);
        shard.add(&shard.reads, 1);
    }

    /// Swaps the values of two slots: what a stray pointer would do.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn swap_slots(&self, one: u32, other: u32) {
        let word = |index| {
            let word = self.table.get_to_write(u64::from(index)).expect("a slot");
            (word, slot::load(word).0)
        };
        let ((one, first), (other, second)) = (word(one), word(other));
        for (word, new, old) in [(one, second, first), (other, first, second)] {
            assert_eq!(slot::replace(word, new, |_| ()).unwrap().slot(), old);
        }
    }

    /// Bytes that the pool holds.
    pub(crate) fn pool_bytes(&self) -> u64 {
        self.pool.bytes()
    }
}
