//! Storing pages.

use core::sync::atomic::AtomicU64;

use super::counters::Shard;
use super::error::WriteError;
use super::limits::{INCOMPRESSIBLE_ABOVE, STORED_AS_IT_IS_ABOVE};
use super::pages::Store;
use super::stage::{Staged, Uncommitted};
use super::transit::{LONGEST_RUN, Transit};
use super::worker::Worker;
use crate::backing::BackingAccess;
use crate::checksum::crc32c;
use crate::codec::{CodecId, Codecs};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page, same_filled};
use crate::pool::Room;
use crate::slot::{self, ChunkRef, InTransit, Slot};
use crate::space::NoSlot;

/// What is to become of a page.
enum Placed {
    /// It is held: commit this to its slot.
    Held(Slot),
    /// It belongs into the backing store.
    ToBacking,
}

/// What became of a page that was given to the store.
#[derive(Debug)]
#[must_use = "only a page that is held is stored"]
pub enum Written {
    /// The store holds it.
    Stored,
    /// It must go to the backing store: the caller takes it there.
    ToBacking(Transit),
    /// An earlier write is still taking the page to the backing store. Nothing was done: try
    /// again once that has ended.
    InTransit,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Writes pages `first..first + pages.len()`. Every page is tried, whatever happens to
    /// the others; one that fails reads as before, unless the backing store itself failed
    /// while overwriting it.
    ///
    /// Neighbouring pages that must go to the backing store go there in one transfer, of up to
    /// 1 MiB; for that the store must have direct access to it.
    ///
    /// # Errors
    /// That of the first page that was not written.
    pub fn write(
        &self,
        worker: &mut Worker<H::Codecs>,
        first: u64,
        pages: &[Page],
    ) -> Result<(), WriteError> {
        if !matches!(self.backing, BackingAccess::None) {
            return self.write_each(worker, first, pages);
        }
        let mut outcome = Ok(());
        // The worker's batch are the pages just before this one.
        let mut at = 0;
        loop {
            let index = |at: usize| first.saturating_add(at as u64);
            let page = pages.get(at);
            let staged = page.map(|page| self.stage_page(worker, index(at), page));
            if let Some(Ok(Staged::Queued)) = staged {
                at += 1;
                continue;
            }
            if let Err(Uncommitted { pages: left }) = self.commit(worker) {
                let from = at - left;
                outcome = outcome.and(self.write_each(worker, index(from), &pages[from..at]));
            }
            match staged {
                None => return outcome,
                Some(Ok(Staged::Full)) => {}
                Some(_) => {
                    outcome = outcome.and(self.write_each(worker, index(at), &pages[at..=at]));
                    at += 1;
                }
            }
        }
    }

    /// Writes neighbouring pages one by one, but for those that go to the backing store.
    fn write_each(
        &self,
        worker: &mut Worker<H::Codecs>,
        first: u64,
        pages: &[Page],
    ) -> Result<(), WriteError> {
        let mut outcome = Ok(());
        let mut note = |result: Result<(), WriteError>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        for (i, page) in pages.iter().enumerate() {
            let index = first.saturating_add(i as u64);
            let mut attempt = 0;
            let written = loop {
                match self.write_page(worker, index, page) {
                    Ok(Written::InTransit) => {}
                    written => break written,
                }
                // Nobody waits for a page in transit with pages in transit of his own.
                note(self.take_run(worker, &pages[..i]));
                self.host.backoff(attempt);
                attempt += 1;
            };
            match written {
                Ok(Written::ToBacking(transit)) => {
                    worker.run.push(transit);
                    if worker.run.len() >= LONGEST_RUN.min(worker.run.capacity()) {
                        note(self.take_run(worker, &pages[..=i]));
                    }
                }
                written => {
                    note(self.take_run(worker, &pages[..i]));
                    note(written.map(drop));
                }
            }
        }
        note(self.take_run(worker, pages));
        outcome
    }

    /// Writes one page, or says that it must go to the backing store: see [`Written`]. Neither
    /// sleeps nor does I/O.
    ///
    /// # Errors
    /// [`WriteError::OutOfRange`], [`WriteError::NoSlotMemory`], and [`WriteError::NoSpace`], after
    /// which [`Store::top_up`] may help; the page then reads as before.
    pub fn write_page(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &Page,
    ) -> Result<Written, WriteError> {
        let since_ns = self.host.now_ns();
        // Without a backing store none is (2 of `Store`).
        if self.backing.is_some() && self.is_in_transit(index) {
            return Ok(Written::InTransit);
        }
        let placed = self
            .slot_to_write(index)
            .and_then(|word| Ok((word, self.place(worker, index, page)?)));
        let shard = self.counters.shard(worker.number);
        let written = match placed {
            Ok((word, Placed::Held(slot))) => match self.commit_slot(shard, word, slot) {
                Ok(()) => {
                    shard.stored(self.host.now_ns().saturating_sub(since_ns), 1);
                    Written::Stored
                }
                Err(InTransit) => Written::InTransit,
            },
            Ok((word, Placed::ToBacking)) => self.depart(word, index, page, since_ns),
            Err(error) => {
                shard.add(&shard.writes, 1);
                shard.add(&shard.failed_writes, 1);
                return Err(error);
            }
        };
        if !matches!(written, Written::InTransit) {
            shard.add(&shard.writes, 1);
            self.end_idle();
        }
        Ok(written)
    }

    /// Whether a page is on its way to the backing store.
    #[inline]
    fn is_in_transit(&self, index: u64) -> bool {
        let word = self.table.get(index);
        word.is_some_and(|word| slot::load(word).0.is_in_transit())
    }

    /// The slot of a page that is about to be written.
    #[inline]
    pub(super) fn slot_to_write(&self, index: u64) -> Result<&AtomicU64, WriteError> {
        self.table.get_to_write(index).map_err(|error| match error {
            NoSlot::OutOfRange => {
                let pages = self.pages();
                WriteError::OutOfRange { index, pages }
            }
            NoSlot::NoMemory(_) => WriteError::NoSlotMemory { index },
        })
    }

    /// Makes a page, whose slot is `word`, set out for the backing store.
    fn depart(&self, word: &AtomicU64, index: u64, page: &Page, since_ns: u64) -> Written {
        let checksum = crc32c(PAGE_SIZE as u32, page);
        let departed = slot::depart(word, checksum, |attempt| self.host.backoff(attempt));
        match departed {
            Ok(departure) => Written::ToBacking(Transit {
                index,
                departure,
                since_ns,
            }),
            Err(InTransit) => Written::InTransit,
        }
    }

    /// Compresses a page and puts its chunk into the pool, or says that it must go to the
    /// backing store.
    fn place(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &Page,
    ) -> Result<Placed, WriteError> {
        let pages = self.pages();
        let Some(owner) = u32::try_from(index).ok().filter(|_| index < pages) else {
            return Err(WriteError::OutOfRange { index, pages });
        };
        let repeated = same_filled(page);
        if let Some(slot) = repeated.and_then(Slot::same) {
            return Ok(Placed::Held(slot));
        }
        // Page 0 of the backing store is the header that makes it a swap area.
        let may_leave = self.backing.is_some() && index != 0;
        let arena = worker.number;
        let most = if may_leave {
            INCOMPRESSIBLE_ABOVE
        } else {
            STORED_AS_IT_IS_ABOVE
        };
        let (codec, bytes) = self.compress(worker, page, repeated, most);
        if codec == CodecId::Raw && may_leave {
            return Ok(Placed::ToBacking);
        }
        let room = if self.backing.is_some() && index == 0 {
            Room::BeyondLimit
        } else {
            Room::Limited
        };
        match self.pool.insert(&self.host, arena, owner, bytes, room) {
            Ok(place) => {
                let length = bytes.len();
                Ok(Placed::Held(Slot::chunk(ChunkRef {
                    place,
                    length,
                    codec,
                })))
            }
            Err(_) if may_leave => Ok(Placed::ToBacking),
            Err(_) => Err(WriteError::NoSpace { index }),
        }
    }

    /// The bytes of a page's chunk, and the codec that reads them: the page itself if a chunk would
    /// have more than `most`. `repeated` is the word that the page repeats, if it does.
    pub(super) fn compress<'a>(
        &self,
        worker: &'a mut Worker<H::Codecs>,
        page: &'a Page,
        repeated: Option<u64>,
        most: usize,
    ) -> (CodecId, &'a [u8]) {
        let Worker {
            scratch, staging, ..
        } = worker;
        let out = staging.room(most);
        if let Some(word) = repeated {
            out[..8].copy_from_slice(&word.to_ne_bytes());
            return (CodecId::Fill, &out[..8]);
        }
        let spec = self.codec();
        match H::Codecs::compress(spec, page, scratch, out) {
            Some(length) => (spec.id(), &out[..length]),
            None => (CodecId::Raw, page),
        }
    }

    /// Stores `new` in a page's slot and frees what it held before; if the page is in
    /// transit, frees what `new` names.
    fn commit_slot(&self, shard: &Shard, word: &AtomicU64, new: Slot) -> Result<(), InTransit> {
        // Counted first: a discard by another thread may follow the commit at once.
        if let Some(entry) = new.entry() {
            shard.gained(entry);
        }
        let old = slot::replace(word, new, |attempt| self.host.backoff(attempt));
        match old {
            Ok(old) => {
                self.release(shard, old);
                Ok(())
            }
            Err(InTransit) => {
                if let Some(entry) = new.entry() {
                    shard.lost(entry);
                }
                self.pool.take_back(&self.host, new);
                Err(InTransit)
            }
        }
    }
}
