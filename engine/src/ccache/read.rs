//! Looking pages up.

use core::sync::atomic::Ordering::Relaxed;

use super::block::List;
use super::cache::Ccache;
use super::guarded::Guarded;
use super::index::FileId;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page};
use crate::slot::Slot;
use crate::store::{SlotContents, Worker};

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The page was held, and is restored.
    Hit,
    /// The page is not held.
    Miss,
    /// The page was held, but what is held does not match its checksum. It was removed, unless
    /// it is the only copy.
    Corrupt,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Reads a page for the kernel: an access, which moves it to the active list.
    pub fn read(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
    ) -> Lookup {
        self.read_page(worker, file, index, page, true)
    }

    /// Reads a page for our own use: does not count as an access.
    pub fn lookup(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
    ) -> Lookup {
        self.read_page(worker, file, index, page, false)
    }

    /// Whether a page is held.
    pub fn holds(&self, file: FileId, index: u64) -> bool {
        let found = self.lock().index.find(file, index);
        found.is_some_and(|(_, list)| list.holds())
    }

    /// The first page of a file from `from` on that is held.
    pub fn next_held(&self, file: FileId, mut from: u64) -> Option<u64> {
        loop {
            let guarded = self.lock();
            let (mut slots, next) = guarded.index.known_from(file, from)?;
            let held = slots.find(|known| known.list.holds());
            match held {
                Some(known) => return Some(known.page),
                None => from = next,
            }
        }
    }

    fn read_page(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
        note: bool,
    ) -> Lookup {
        let mut attempt = 0;
        loop {
            let mut guarded = self.lock();
            let Some((slot, list)) = guarded.index.find(file, index) else {
                guarded.counts.misses += u64::from(note);
                return Lookup::Miss;
            };
            match self.store.slot_contents(slot) {
                SlotContents::Same(word) => {
                    self.record_hit(&mut guarded, slot, list, note);
                    drop(guarded);
                    self.store.restore_same_filled(worker, word, page);
                    return Lookup::Hit;
                }
                SlotContents::Chunk(held) => {
                    self.record_hit(&mut guarded, slot, list, note);
                    drop(guarded);
                    if self.store.restore_chunk(worker, slot, held, page).is_some() {
                        return Lookup::Hit;
                    }
                    self.remove_corrupt(file, index, slot);
                    return Lookup::Corrupt;
                }
                SlotContents::Absent(_) => {
                    guarded.counts.misses += u64::from(note);
                    return Lookup::Miss;
                }
                SlotContents::Busy => {}
            }
            drop(guarded);
            self.store.host().backoff(attempt);
            attempt += 1;
        }
    }

    /// Counts a hit.
    fn record_hit(&self, guarded: &mut Guarded, slot: u32, list: List, note: bool) {
        if !note {
            return;
        }
        let Guarded {
            index,
            balance,
            counts,
            ..
        } = guarded;
        counts.hits += 1;
        let (file, _) = index.page_of(slot);
        index.files.get_mut(file.0).usefulness.used();
        let distance = index.access_clock.wrapping_sub(index.last_access(slot));
        let pool = self.store.pool_bytes() / PAGE_SIZE as u64;
        index.access_clock = index.access_clock.wrapping_add(1);
        index.set_accessed(slot);
        if list != List::Pinned {
            balance.hit(distance, u32::try_from(pool).unwrap_or(u32::MAX));
            // The kernel had dropped it and wants it again: that is what active means.
            index.move_to(slot, List::Active);
        }
    }

    fn remove_corrupt(&self, file: FileId, index: u64, slot: u32) {
        let mut guarded = self.lock_to_remove();
        guarded.counts.corrupt += 1;
        // Unless it has become something else meanwhile. Pinned pages have no other copy: they
        // stay, so that every read fails and none gives wrong bytes.
        let same = matches!(guarded.index.find(file, index), Some((s, List::Inactive | List::Active)) if s == slot);
        if same && !self.only_copy && guarded.clear(slot, Slot::EMPTY) {
            guarded.index.move_to(slot, List::None);
        }
    }

    /// Whether pages are admitted at their first read: see
    /// [`set_reclaiming`](Self::set_reclaiming).
    pub fn reclaims(&self) -> bool {
        self.reclaiming.load(Relaxed)
    }
}
