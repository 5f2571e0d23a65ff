//! Single slots, as a cache works on them: compress first, then place under the cache's lock.

use core::sync::atomic::AtomicU64;

use super::counters::Shard;
use super::read::unpack;
use super::{INCOMPRESSIBLE_ABOVE, Store, Worker};
use crate::codec::CodecId;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{Page, fill, same_filled};
use crate::pool::{Full, Room};
use crate::slot::{self, ChunkRef, Entry, Held, Slot};

/// A page, compressed, that has no place yet.
#[derive(Debug)]
pub(crate) struct Packed<'a> {
    content: Content<'a>,
    number: usize,
}

#[derive(Debug)]
enum Content<'a> {
    Slot(Slot),
    Chunk { codec: CodecId, bytes: &'a [u8] },
}

impl Packed<'_> {
    /// Whether the page does not compress: its chunk would be the page itself.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(
            self.content,
            Content::Chunk {
                codec: CodecId::Raw,
                ..
            }
        )
    }
}

/// What a slot names, while it cannot change.
pub(crate) enum Cell<'a> {
    /// The page is held by the slot itself.
    Same(u64),
    /// A chunk, which stays for as long as this lives.
    Chunk(Held<'a, AtomicU64>),
    /// Not held.
    Absent(Slot),
    /// Somebody else holds the slot: try again.
    Busy,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Compresses a page.
    pub(crate) fn pack<'a>(&self, worker: &'a mut Worker<H::Codecs>, page: &'a Page) -> Packed<'a> {
        let number = worker.number;
        let repeated = same_filled(page);
        let content = match repeated.and_then(Slot::same) {
            Some(slot) => Content::Slot(slot),
            None => {
                let (codec, bytes) = self.compress(worker, page, repeated, INCOMPRESSIBLE_ABOVE);
                Content::Chunk { codec, bytes }
            }
        };
        Packed { content, number }
    }

    /// Stores what a page was compressed to, for slot `index`. To be given to [`Store::commit_packed`] or
    /// [`Store::take_back`].
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn place_packed(&self, index: u32, packed: &Packed<'_>) -> Result<Slot, Full> {
        Ok(match packed.content {
            Content::Slot(slot) => slot,
            Content::Chunk { codec, bytes } => {
                let place =
                    self.pool
                        .insert(&self.host, packed.number, index, bytes, Room::Held)?;
                let length = bytes.len();
                Slot::chunk(ChunkRef {
                    place,
                    length,
                    codec,
                })
            }
        })
    }

    /// Makes slot `index` say what was placed for it, and frees what it said.
    pub(crate) fn commit_packed(&self, packed: &Packed<'_>, index: u32, placed: Slot) {
        let shard = self.counters.shard(packed.number);
        shard.add(&shard.writes, 1);
        self.set(shard, index, placed);
        self.end_rest();
    }

    /// Frees what was placed for a slot that does not get it.
    pub(crate) fn take_back(&self, placed: Slot) {
        self.pool.take_back(&self.host, placed);
    }

    /// Frees what slot `index` says, and makes it say `new`, which names no chunk. If somebody
    /// holds the slot, nothing is done. Returns whether it was.
    pub(crate) fn clear(&self, index: u32, new: Slot) -> bool {
        let shard = self.counters.shared();
        let Some(word) = self.table.get_to_write(u64::from(index)) else {
            return false;
        };
        let (said, _) = slot::glance(word);
        match slot::try_lock(word, said) {
            Some(held) => {
                self.exchange(shard, held, new);
                true
            }
            None => false,
        }
    }

    /// Makes slot `index` say `new`, once nobody holds it, and frees what it said.
    fn set(&self, shard: &Shard, index: u32, new: Slot) {
        let Some(word) = self.table.get_to_write(u64::from(index)) else {
            return;
        };
        let held = slot::lock(word, |attempt| self.host.relax(attempt));
        self.exchange(shard, held, new);
    }

    /// Takes hold of what slot `index` names, without waiting.
    pub(crate) fn cell(&self, index: u32) -> Cell<'_> {
        let Some(word) = self.table.get(u64::from(index)) else {
            return Cell::Absent(Slot::EMPTY);
        };
        let (said, busy) = slot::glance(word);
        match said.entry() {
            Some(Entry::Same(word)) if !busy => Cell::Same(word),
            Some(Entry::Chunk(_)) if !busy => {
                slot::try_lock(word, said).map_or(Cell::Busy, Cell::Chunk)
            }
            _ if busy => Cell::Busy,
            _ => Cell::Absent(said),
        }
    }

    /// Restores the page of a chunk, and lets go of its slot; `None` where it is corrupt.
    pub(crate) fn open(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u32,
        held: Held<'_, AtomicU64>,
        page: &mut Page,
    ) -> Option<()> {
        let restored = held.said().as_chunk().and_then(|chunk| {
            let bytes = self.pool.get(&held, index).ok()?;
            unpack::<H::Codecs>(&mut worker.scratch, chunk.codec, bytes, page)
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
    pub(crate) fn open_same(&self, worker: &Worker<H::Codecs>, word: u64, page: &mut Page) {
        fill(page, word);
        let shard = self.counters.shard(worker.number);
        shard.add(&shard.reads, 1);
    }

    /// Lets two slots say what the other said: what a stray pointer would do.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn confuse(&self, one: u32, other: u32) {
        let word = |index| {
            let word = self.table.get_to_write(u64::from(index)).expect("a slot");
            (word, slot::glance(word).0)
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
