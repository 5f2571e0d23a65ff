//! Batches: pages that are compressed one after the other, and then placed and committed together.
//!
//! What a single page costs beside its compression, the lock of an arena to place its chunk and once
//! more to free what it replaces, a batch pays once for all of its pages. Chunks wait in the worker's
//! own memory, so that each is placed by best fit, as a single one is. Until the batch is committed
//! nothing of it is to be seen: its pages read as before.

use super::counters::Shard;
use super::error::WriteError;
use super::limits::STORED_AS_IT_IS_ABOVE;
use super::pages::Store;
use super::release::commit_held;
use super::staging::{BATCH, Content, Staging, Waiting};
use super::worker::Worker;
use crate::backing::BackingAccess;
use crate::codec::CodecId;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page, same_filled};
use crate::slot::{self, ChunkRef, Slot, Taken};

/// What became of a page that was given to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a queued page is in the batch"]
pub enum Staged {
    /// It waits for [`Store::commit`].
    Queued,
    /// The batch is full: commit it, and give the page once more.
    Full,
    /// It may belong into the backing store: write it by [`Store::write_page`]. So may all others
    /// of this store.
    Unbatched,
}

/// There was no room for the last pages of a batch. They read as before; nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for the last {pages} pages of a batch: write each by itself")]
pub struct Uncommitted {
    /// How many: those that were given last.
    pub pages: usize,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Compresses one page into the worker's batch. Neither sleeps nor does I/O.
    ///
    /// No page may be given twice to a batch.
    ///
    /// # Errors
    /// [`WriteError::OutOfRange`], [`WriteError::NoSlotMemory`].
    pub fn stage_page(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &Page,
    ) -> Result<Staged, WriteError> {
        let pages = self.pages();
        if index >= pages {
            return Err(WriteError::OutOfRange { index, pages });
        }
        if !matches!(self.backing, BackingAccess::None) {
            return Ok(Staged::Unbatched);
        }
        if !worker.staging.has_room() {
            return Ok(Staged::Full);
        }
        let since_ns = self.host.now_ns();
        // Before the page is stored: a commit finds it.
        self.slot_to_write(index)?;
        let repeated = same_filled(page);
        let content = match repeated.and_then(Slot::same) {
            Some(slot) => Content::Slot(slot),
            None => {
                let (codec, chunk) = self.compress(worker, page, repeated, STORED_AS_IT_IS_ABOVE);
                let length = chunk.len();
                let staging = &mut worker.staging;
                let start = staging.filled;
                if codec == CodecId::Raw {
                    staging.bytes[start..start + PAGE_SIZE].copy_from_slice(page);
                }
                staging.filled += length;
                Content::Chunk {
                    codec,
                    start,
                    length,
                    placed: None,
                }
            }
        };
        worker.staging.waiting.push(Waiting {
            index,
            took_ns: self.host.now_ns().saturating_sub(since_ns),
            content,
        });
        Ok(Staged::Queued)
    }

    /// Stores the pages of the worker's batch, in the order in which they were given. Neither sleeps
    /// nor does I/O.
    ///
    /// # Errors
    /// [`Uncommitted`]: those are to be written by [`Store::write_page`], which may find room or
    /// says what is wrong.
    #[inline]
    pub fn commit(&self, worker: &mut Worker<H::Codecs>) -> Result<(), Uncommitted> {
        if worker.staging.waiting.is_empty() {
            return Ok(());
        }
        self.commit_batch(worker)
    }

    fn commit_batch(&self, worker: &mut Worker<H::Codecs>) -> Result<(), Uncommitted> {
        let since_ns = self.host.now_ns();
        let shard = self.counters.shard(worker.number);
        let Staging {
            waiting,
            bytes,
            filled,
        } = &mut worker.staging;
        let count = waiting.len();
        let wanted = waiting
            .iter_mut()
            .filter_map(|page| match &mut page.content {
                Content::Slot(_) => None,
                Content::Chunk { length, placed, .. } => Some((*length, placed)),
            });
        self.pool.place_each(&self.host, worker.number, wanted);
        let mut replaced = [const { None }; BATCH];
        let (mut done, mut took_ns) = (0, 0);
        for (page, replaced) in waiting.drain(..).zip(&mut replaced) {
            let Waiting { index, content, .. } = page;
            let new = match content {
                Content::Slot(slot) => slot,
                Content::Chunk {
                    codec,
                    start,
                    length,
                    placed: Some(placed),
                } => {
                    // The index is below the number of pages, and so has 32 bits.
                    let chunk = &bytes[start..start + length];
                    let place = self.pool.fill(placed, index as u32, chunk);
                    Slot::chunk(ChunkRef {
                        place,
                        length,
                        codec,
                    })
                }
                // Nor has any chunk behind it a place.
                Content::Chunk { placed: None, .. } => break,
            };
            *replaced = self.replace(shard, index, new);
            done += 1;
            took_ns += page.took_ns;
        }
        *filled = 0;
        self.release_each(shard, replaced.into_iter().flatten());
        took_ns += self.host.now_ns().saturating_sub(since_ns);
        shard.stored(took_ns, done as u64);
        shard.add(&shard.writes, done as u64);
        self.end_idle();
        match count - done {
            0 => Ok(()),
            pages => Err(Uncommitted { pages }),
        }
    }

    /// Stores `new` in a page's slot, which [`Store::stage_page`] has found, and returns the old value.
    /// The store has no backing store, so that no page is in transit (2 of [`Store`]).
    fn replace(&self, shard: &Shard, index: u64, new: Slot) -> Option<Taken> {
        let word = self.table.get_to_write(index).ok()?;
        let held = slot::lock(word, |attempt| self.host.backoff(attempt));
        Some(commit_held(shard, held, new))
    }
}
