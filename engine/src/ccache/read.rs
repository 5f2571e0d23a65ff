//! Looking pages up.

use core::sync::atomic::Ordering::Relaxed;

use super::{Ccache, FileId, Guarded, On};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::{PAGE_SIZE, Page};
use crate::slot::Slot;
use crate::store::{Cell, Worker};

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The page, restored.
    Here,
    /// Nothing.
    Absent,
    /// The page was held, but what is held does not match its checksum. It was dropped, unless
    /// it is the only copy.
    Corrupt,
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Looks up a page that the kernel asks for, and restores it where it is held.
    pub fn read(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
    ) -> Found {
        self.look_up(worker, file, index, page, true)
    }

    /// Looks up a page for our own use: that it was asked for is not noted.
    pub fn peek(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
    ) -> Found {
        self.look_up(worker, file, index, page, false)
    }

    /// Whether a page is held.
    pub fn holds(&self, file: FileId, index: u64) -> bool {
        let found = self.lock().index.find(file, index);
        found.is_some_and(|(_, on)| on.holds())
    }

    /// The first page of a file from `from` on that is held.
    pub fn next_held(&self, file: FileId, mut from: u64) -> Option<u64> {
        loop {
            let guarded = self.lock();
            let (slots, next) = guarded.index.known_from(file, from)?;
            let held = slots.into_iter().find(|known| known.on.holds());
            match held {
                Some(known) => return Some(known.page),
                None => from = next,
            }
        }
    }

    fn look_up(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &mut Page,
        note: bool,
    ) -> Found {
        let mut attempt = 0;
        loop {
            let mut guarded = self.lock();
            let Some((slot, on)) = guarded.index.find(file, index) else {
                guarded.counts.misses += u64::from(note);
                return Found::Absent;
            };
            match self.store.cell(slot) {
                Cell::Same(word) => {
                    self.note_hit(&mut guarded, slot, on, note);
                    drop(guarded);
                    self.store.open_same(worker, word, page);
                    return Found::Here;
                }
                Cell::Chunk(held) => {
                    self.note_hit(&mut guarded, slot, on, note);
                    drop(guarded);
                    if self.store.open(worker, slot, held, page).is_some() {
                        return Found::Here;
                    }
                    self.drop_corrupt(file, index, slot);
                    return Found::Corrupt;
                }
                Cell::Absent(_) => {
                    guarded.counts.misses += u64::from(note);
                    return Found::Absent;
                }
                Cell::Busy => {}
            }
            drop(guarded);
            self.store.host().relax(attempt);
            attempt += 1;
        }
    }

    /// Notes that a page is given out which is held.
    fn note_hit(&self, guarded: &mut Guarded, slot: u32, on: On, note: bool) {
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
        let distance = index.given.wrapping_sub(index.given_at(slot));
        let pool = self.store.pool_bytes() / PAGE_SIZE as u64;
        index.given = index.given.wrapping_add(1);
        index.give(slot);
        if on != On::Pinned {
            balance.hit(distance, u32::try_from(pool).unwrap_or(u32::MAX));
            // The kernel had dropped it and wants it again: that is what active means.
            index.put(slot, On::Active);
        }
    }

    fn drop_corrupt(&self, file: FileId, index: u64, slot: u32) {
        let mut guarded = self.lock();
        guarded.counts.corrupt += 1;
        // Unless it has become something else meanwhile. Pinned pages have no other copy: they
        // stay, so that every read fails and none gives wrong bytes.
        let same = matches!(guarded.index.find(file, index), Some((s, On::Inactive | On::Active)) if s == slot);
        if same && !self.only_copy && self.store.clear(slot, Slot::EMPTY) {
            guarded.index.put(slot, On::Nothing);
        }
    }

    /// Whether pages are taken in at their first read: see
    /// [`set_reclaiming`](Self::set_reclaiming).
    pub fn reclaims(&self) -> bool {
        self.reclaiming.load(Relaxed)
    }
}
