//! Storing pages.

use super::counters::{Shard, add};
use super::{INCOMPRESSIBLE_ABOVE, Store, Worker, WriteError};
use crate::backing::Backing;
use crate::codec::{CodecId, Codecs};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page, same_filled};
use crate::pool::checksum::crc32c;
use crate::slot::{self, ChunkRef, Slot};

/// What is to become of a page.
enum Placed {
    /// It is held: commit this to its slot.
    Held(Slot),
    /// It belongs into the backing store.
    ToBacking,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Writes pages `first..first + pages.len()`. Every page is tried, whatever happens to
    /// the others; one that fails reads as before, unless the backing store itself failed
    /// while overwriting it.
    ///
    /// Neighbouring pages that must go to the backing store go there in one transfer.
    ///
    /// # Errors
    /// That of the first page that was not written.
    pub fn write(
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
        // The run of pages for the backing store that ends before page `i`.
        let mut run = 0;
        let mut before = self.host.now_ns();
        for (i, page) in pages.iter().enumerate() {
            let placed = self.place(worker, first.saturating_add(i as u64), page);
            if !matches!(placed, Ok(Placed::ToBacking)) && run > 0 {
                note(self.write_to_backing(worker, first, &pages[..i], run));
                run = 0;
            }
            let shard = self.counters.shard(worker.number);
            add(&shard.writes, 1);
            match placed {
                Ok(Placed::ToBacking) => run += 1,
                Ok(Placed::Held(slot)) => {
                    self.commit(shard, first + i as u64, slot);
                    let now = self.host.now_ns();
                    shard.stored(now.saturating_sub(before));
                    before = now;
                }
                Err(error) => {
                    add(&shard.failed_writes, 1);
                    note(Err(error));
                }
            }
        }
        if run > 0 {
            note(self.write_to_backing(worker, first, pages, run));
        }
        self.end_rest();
        outcome
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
        let (codec, bytes) = self.compress(worker, page, repeated);
        if codec == CodecId::Raw && may_leave {
            return Ok(Placed::ToBacking);
        }
        let over_limit = self.backing.is_some() && index == 0;
        match self
            .pool
            .insert(&self.host, arena, owner, bytes, over_limit)
        {
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

    /// The bytes of a page's chunk, and the codec that reads them. `repeated` is the word that
    /// the page repeats, if it does.
    pub(super) fn compress<'a>(
        &self,
        worker: &'a mut Worker<H::Codecs>,
        page: &'a Page,
        repeated: Option<u64>,
    ) -> (CodecId, &'a [u8]) {
        let Worker { scratch, chunk, .. } = worker;
        if let Some(word) = repeated {
            chunk[..8].copy_from_slice(&word.to_ne_bytes());
            return (CodecId::Fill, &chunk[..8]);
        }
        let spec = self.codec();
        let out = &mut chunk[..INCOMPRESSIBLE_ABOVE];
        match H::Codecs::compress(spec, page, scratch, out) {
            Some(length) => (spec.id(), &chunk[..length]),
            None => (CodecId::Raw, page),
        }
    }

    /// Makes a page's slot say `new` and frees what it said before.
    pub(super) fn commit(&self, shard: &Shard, index: u64, new: Slot) {
        let Some(word) = self.table.get_to_write(index) else {
            return;
        };
        // Counted first: a discard by another thread may follow the commit at once.
        if let Some(entry) = new.entry() {
            shard.gained(entry);
        }
        let old = slot::replace(word, new, |attempt| self.host.relax(attempt));
        self.free(shard, old);
    }

    /// Writes the last `run` of `pages`, which start at page `first`, to the backing store.
    fn write_to_backing(
        &self,
        worker: &Worker<H::Codecs>,
        first: u64,
        pages: &[Page],
        run: usize,
    ) -> Result<(), WriteError> {
        let Some(backing) = &self.backing else {
            return Ok(());
        };
        let skipped = pages.len() - run;
        let shard = self.counters.shard(worker.number);
        let before = self.host.now_ns();
        let result = self.write_run(shard, &**backing, first + skipped as u64, &pages[skipped..]);
        let each = self.host.now_ns().saturating_sub(before) / run as u64;
        match result {
            Ok(()) => {
                add(&shard.backing_writes, run as u64);
                (0..run).for_each(|_| shard.stored(each));
            }
            Err(_) => add(&shard.failed_writes, run as u64),
        }
        result
    }

    /// Writes a run of pages to the backing store and commits their slots.
    ///
    /// The slots are held meanwhile, lowest first, so that two writes of a page cannot mix.
    /// Only an operation on these same pages waits for that; the evacuator never does.
    fn write_run(
        &self,
        shard: &Shard,
        backing: &dyn Backing,
        first: u64,
        pages: &[Page],
    ) -> Result<(), WriteError> {
        let words = || {
            (first..)
                .zip(pages)
                .filter_map(|(i, _)| self.table.get_to_write(i))
        };
        for word in words() {
            slot::lock(word, |attempt| self.host.relax(attempt)).leave();
        }
        let result = backing.write(first, pages);
        for (word, page) in words().zip(pages) {
            let held = slot::resume(word);
            if result.is_ok() {
                let checksum = crc32c(PAGE_SIZE as u32, page);
                self.exchange(shard, held, Slot::backing(checksum));
            }
        }
        Ok(result?)
    }
}
