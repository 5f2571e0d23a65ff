//! Loading pages.

use core::sync::atomic::AtomicU64;

use super::counters::Shard;
use super::error::ReadError;
use super::pages::Store;
use super::worker::Worker;
use crate::backing::{Backing, BackingAccess, Unread};
use crate::checksum::crc32c;
use crate::codec::{CodecId, Codecs};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page, fill};
use crate::slot::{self, Entry, Slot, SlotGuard};

/// Some pages of a run could not be read.
struct Failed {
    /// How many.
    pages: u64,
    /// What was wrong with the first of them.
    error: ReadError,
}

/// Where a page was found.
enum Found {
    /// In memory: it is restored.
    Restored,
    /// The backing store has it; this was its slot.
    InBacking(Slot),
    /// It is being written there.
    InTransit,
}

/// A page's slot when the page was found to be in the backing store.
#[derive(Clone, Copy, Debug)]
pub struct InBacking {
    slot: Slot,
    since_ns: u64,
}

/// Where a requested page was found.
#[derive(Clone, Copy, Debug)]
#[must_use = "only a restored page may be read"]
pub enum Loaded {
    /// It is restored.
    Restored,
    /// The backing store has it: the caller reads it from there, and hands it to
    /// [`Store::verify`].
    InBacking(InBacking),
    /// It is being written to the backing store: try again once it has arrived.
    InTransit,
}

/// What a page that came from the backing store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a page that was verified is read"]
pub enum Verified {
    /// What was written.
    Current,
    /// Something else, and the page was written or freed meanwhile: read it again, from
    /// [`Store::read_page`] on.
    Changed,
    /// Something else, although nobody has written it: the backing store has lost it.
    Corrupt,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Store<H, F, S> {
    /// Reads pages `first..first + pages.len()`. Those never written, or discarded, are zero.
    ///
    /// Neighbouring pages that lie in the backing store come from there in one transfer; for
    /// that the store must have direct access to it.
    ///
    /// # Errors
    /// That of the first page that could not be read; the others are read anyway. What
    /// `pages` then holds of those that failed is undefined.
    pub fn read(
        &self,
        worker: &mut Worker<H::Codecs>,
        first: u64,
        pages: &mut [Page],
    ) -> Result<(), ReadError> {
        let mut outcome = Ok(());
        let mut at = 0;
        let mut before = self.host.now_ns();
        while at < pages.len() {
            let index = first.saturating_add(at as u64);
            let (done, failed) = match self.load_arrived(worker, index, &mut pages[at]) {
                Ok(None) => (1, None),
                Ok(Some(_)) => {
                    let run = self.backing_run(index, pages.len() - at);
                    let pages = &mut pages[at..at + run];
                    (run, self.read_from_backing(worker, index, pages))
                }
                Err(error) => (1, Some(Failed { pages: 1, error })),
            };
            let shard = self.counters.shard(worker.number);
            let now = self.host.now_ns();
            let each = now.saturating_sub(before) / done as u64;
            (0..done).for_each(|_| shard.loaded(each));
            before = now;
            shard.add(&shard.reads, done as u64);
            at += done;
            if let Some(Failed { pages, error }) = failed {
                shard.add(&shard.failed_reads, pages);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Reads one page, or says where it is instead: see [`Loaded`]. Neither sleeps nor does
    /// I/O.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] and [`ReadError::Corrupt`].
    pub fn read_page(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &mut Page,
    ) -> Result<Loaded, ReadError> {
        let since_ns = self.host.now_ns();
        let found = self.load(worker, index, page);
        let shard = self.counters.shard(worker.number);
        match found {
            Ok(Found::InBacking(current)) => {
                return Ok(Loaded::InBacking(InBacking {
                    slot: current,
                    since_ns,
                }));
            }
            Ok(Found::InTransit) => return Ok(Loaded::InTransit),
            Ok(Found::Restored) => {}
            Err(_) => shard.add(&shard.failed_reads, 1),
        }
        shard.add(&shard.reads, 1);
        shard.loaded(self.host.now_ns().saturating_sub(since_ns));
        found.map(|_| Loaded::Restored)
    }

    /// Checks a page that was read from the backing store, to the end of what
    /// [`Store::read_page`] began. Never sleeps or waits.
    ///
    /// `worker` as for [`Store::free`].
    pub fn verify(&self, worker: usize, index: u64, seen: InBacking, page: &Page) -> Verified {
        let shard = self.counters.shard(worker);
        shard.add(&shard.backing_reads, 1);
        if Slot::backing(crc32c(PAGE_SIZE as u32, page)) != seen.slot {
            let now = self.table.get(index).map(slot::load);
            if now.is_none_or(|(current, _)| current != seen.slot) {
                return Verified::Changed;
            }
            shard.add(&shard.corrupt, 1);
            self.count_failed_read(worker, seen);
            return Verified::Corrupt;
        }
        shard.add(&shard.reads, 1);
        shard.loaded(self.host.now_ns().saturating_sub(seen.since_ns));
        Verified::Current
    }

    /// Notes that the backing store failed to read a page, to the end of what
    /// [`Store::read_page`] began.
    ///
    /// `worker` as for [`Store::free`].
    pub fn count_failed_read(&self, worker: usize, seen: InBacking) {
        let shard = self.counters.shard(worker);
        shard.add(&shard.reads, 1);
        shard.add(&shard.failed_reads, 1);
        shard.loaded(self.host.now_ns().saturating_sub(seen.since_ns));
    }

    /// Restores a page that is held in memory, or returns the slot of one that is in the
    /// backing store. Waits for one that is in transit.
    fn load_arrived(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &mut Page,
    ) -> Result<Option<Slot>, ReadError> {
        let mut attempt = 0;
        loop {
            match self.load(worker, index, page)? {
                Found::Restored => return Ok(None),
                Found::InBacking(current) => return Ok(Some(current)),
                Found::InTransit => self.host.backoff(attempt),
            }
            attempt += 1;
        }
    }

    /// Restores a page that is held in memory, or says that it is not.
    fn load(
        &self,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &mut Page,
    ) -> Result<Found, ReadError> {
        let pages = self.pages();
        let Some(owner) = u32::try_from(index).ok().filter(|_| index < pages) else {
            return Err(ReadError::OutOfRange { index, pages });
        };
        let Some(word) = self.table.get(index) else {
            page.fill(0);
            return Ok(Found::Restored);
        };
        let backoff = |attempt| self.host.backoff(attempt);
        let mut current = slot::load_unlocked(word, backoff);
        if current.as_chunk().is_some() {
            let held = slot::lock(word, backoff);
            current = held.current();
            let restored = current
                .as_chunk()
                .map(|chunk| self.restore(&mut worker.scratch, owner, chunk.codec, &held, page));
            held.touch();
            match restored {
                Some(Some(())) => return Ok(Found::Restored),
                Some(None) => {
                    let shard = self.counters.shard(worker.number);
                    shard.add(&shard.corrupt, 1);
                    return Err(ReadError::Corrupt { index });
                }
                // It became something else between the look and the lock.
                None => {}
            }
        }
        match current.entry() {
            Some(Entry::Empty | Entry::Transit { dead: true }) => page.fill(0),
            Some(Entry::Same(word)) => fill(page, word),
            Some(Entry::Backing { .. }) => return Ok(Found::InBacking(current)),
            Some(Entry::Transit { dead: false }) => return Ok(Found::InTransit),
            // A chunk was restored above; shadows are a cache's, which does not read them; any
            // other word was never written by this engine.
            Some(Entry::Chunk(_) | Entry::Shadow { .. }) | None => {
                return Err(ReadError::Corrupt { index });
            }
        }
        Ok(Found::Restored)
    }

    /// Restores a page from the chunk that a slot names; `None` if it is corrupt.
    fn restore(
        &self,
        scratch: &mut <H::Codecs as Codecs>::Scratch,
        owner: u32,
        codec: CodecId,
        held: &SlotGuard<'_, AtomicU64>,
        page: &mut Page,
    ) -> Option<()> {
        decompress_chunk::<H::Codecs>(scratch, codec, self.pool.get(held, owner).ok()?, page)
    }

    /// How many pages from `index` on, at most `limit`, lie in the backing store.
    fn backing_run(&self, index: u64, limit: usize) -> usize {
        (index..)
            .take(limit)
            .skip(1)
            .take_while(|i| {
                let current = self.table.get(*i).map(slot::load);
                matches!(
                    current.map(|(s, held)| (s.entry(), held)),
                    Some((Some(Entry::Backing { .. }), false))
                )
            })
            .count()
            + 1
    }

    /// Reads a run of pages whose slots name the backing store.
    fn read_from_backing(
        &self,
        worker: &mut Worker<H::Codecs>,
        first: u64,
        pages: &mut [Page],
    ) -> Option<Failed> {
        let BackingAccess::Direct(backing) = &self.backing else {
            return Some(Failed {
                pages: pages.len() as u64,
                error: ReadError::Corrupt { index: first },
            });
        };
        let run = backing.read(first, pages);
        let shard = self.counters.shard(worker.number);
        shard.add(&shard.backing_reads, pages.len() as u64);
        let mut failed: Option<Failed> = None;
        for (index, page) in (first..).zip(pages) {
            if run.is_ok() && (backing.verifies() || self.is_current(index, page)) {
                continue;
            }
            // It was written again meanwhile, or the transfer failed at another page.
            if let Err(error) = self.read_again(shard, &**backing, worker, index, page) {
                failed.get_or_insert(Failed { pages: 0, error }).pages += 1;
            }
        }
        failed
    }

    /// Whether a page that came from the backing store still has the checksum of its slot.
    fn is_current(&self, index: u64, page: &Page) -> bool {
        let checksum = crc32c(PAGE_SIZE as u32, page);
        let word = self.table.get(index);
        word.is_some_and(|word| slot::load(word).0 == Slot::backing(checksum))
    }

    /// Reads one page from wherever it is, until what was read matches its slot.
    fn read_again(
        &self,
        shard: &Shard,
        backing: &dyn Backing,
        worker: &mut Worker<H::Codecs>,
        index: u64,
        page: &mut Page,
    ) -> Result<(), ReadError> {
        let mut seen = None;
        loop {
            let Some(current) = self.load_arrived(worker, index, page)? else {
                return Ok(());
            };
            if seen == Some(current) {
                // Nobody wrote it since the last try, which had it wrong.
                shard.add(&shard.corrupt, 1);
                return Err(ReadError::Corrupt { index });
            }
            let read = backing.read(index, core::slice::from_mut(page));
            if let Err(Unread::Failed(error)) = read {
                return Err(error.into());
            }
            shard.add(&shard.backing_reads, 1);
            match read {
                Ok(()) if backing.verifies() || self.is_current(index, page) => return Ok(()),
                Err(Unread::Damaged) => {
                    shard.add(&shard.corrupt, 1);
                    return Err(ReadError::Corrupt { index });
                }
                // A page that was written with what it held before has the same slot again.
                Err(_) => seen = None,
                Ok(()) => seen = Some(current),
            }
        }
    }
}

/// Restores a page from the bytes of its chunk; `None` if they are corrupt.
pub(super) fn decompress_chunk<C: Codecs>(
    scratch: &mut C::Scratch,
    codec: CodecId,
    bytes: &[u8],
    page: &mut Page,
) -> Option<()> {
    match codec {
        CodecId::Raw => page.copy_from_slice(bytes.get(..PAGE_SIZE)?),
        CodecId::Fill => fill(page, u64::from_ne_bytes(bytes.try_into().ok()?)),
        id => C::decompress(id, bytes, scratch, page).ok()?,
    }
    Some(())
}
