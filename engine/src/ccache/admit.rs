//! Which pages are taken in.
//!
//! A page that was read for the first time may never be read again: a scan is made of nothing
//! else. So it is taken in only while the kernel drops pages for want of memory, and then it comes
//! to the inactive list, from which it is dropped unless it is asked for. Otherwise a shadow is left
//! in its place. A page that is asked for where a shadow lies was wanted again after it had been
//! dropped: it is taken in, and onto the active list at once if fewer pages were dropped meanwhile
//! than that list has (the refault distance of Linux' `mm/workingset.c`).
//!
//! A page that comes back after more pages than a full cache holds would, in a loop, push out
//! another that comes back sooner, and so all would miss for ever. Only one in eight of them is taken
//! in (bimodal insertion; Qureshi et al., "Adaptive Insertion Policies for High Performance Caching",
//! ISCA 2007): a part of the loop stays.
//!
//! Pages that do not compress are never taken in: the page cache holds them as well, and faster.

use super::{Ccache, FileId, Guarded, NoRoom, On};
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::page::Page;
use crate::slot::{SHADOW_MOMENTS, Slot};
use crate::store::{Cell, Packed, Worker};

/// How often room is made for a page before it is let pass.
const TRIES: usize = 64;

/// Pages that are dropped at once to make room.
const BATCH: usize = 8;

/// What is to become of a page that was read from SOURCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to [`Ccache::add`].
    TakeIn,
    /// Let it pass.
    Pass,
}

/// Why a page was read from SOURCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The kernel asked for it, and has it now.
    Asked,
    /// It lies beside one that the kernel asked for.
    Ahead,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is held.
    Held,
    /// It does not compress.
    Raw,
    /// There was no room, or the caller's last look said that it has changed.
    Passed,
}

/// Says yes to an eighth of all numbers, spread evenly.
fn one_in_eight(number: u32) -> bool {
    number.wrapping_mul(0x9e37_79b1) >> 29 == 0
}

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Whether to take in a page that the kernel asked for and that was not held. To be asked
    /// once a page, before it is compressed. `pays` says whether reading the page again would take
    /// longer than compressing it does: else it is not taken in at its first read.
    pub fn ask(&self, file: FileId, index: u64, pays: bool) -> Verdict {
        let mut guarded = self.lock();
        guarded.index.given = guarded.index.given.wrapping_add(1);
        let found = guarded.index.find(file, index);
        let mut too_far = false;
        if let Some((slot, on)) = found {
            let distance = guarded
                .index
                .given
                .wrapping_sub(guarded.index.given_at(slot));
            too_far = guarded.full && u64::from(distance) > guarded.index.held();
            guarded.index.give(slot);
            if on != On::Shadows {
                // Somebody else took it in meanwhile.
                return Verdict::Pass;
            }
            guarded.counts.refaults += 1;
            guarded.balance.refault();
        }
        let given = guarded.index.given;
        let usefulness = &mut guarded.index.files.get_mut(file.0).usefulness;
        let wanted = match found {
            Some(_) => !too_far || one_in_eight(given),
            None => self.reclaims() && !usefulness.is_stream() && pays,
        };
        if wanted && !usefulness.pauses() {
            return Verdict::TakeIn;
        }
        if wanted || found.is_none() && self.reclaims() {
            guarded.counts.bypassed += 1;
        }
        self.remember(&mut guarded, file, index);
        Verdict::Pass
    }

    /// Whether to take in a page that nobody asked for, but that came from SOURCE beside one:
    /// while there is room, and if a page is to be taken in at its first read or was known before.
    pub fn ask_ahead(&self, file: FileId, index: u64) -> Verdict {
        let mut guarded = self.lock();
        let known = match guarded.index.find(file, index) {
            Some((_, On::Shadows)) => true,
            Some(_) => return Verdict::Pass,
            None => false,
        };
        let full = guarded.full;
        let usefulness = &mut guarded.index.files.get_mut(file.0).usefulness;
        let wanted = known || self.reclaims() && !usefulness.is_stream();
        if wanted && !full && !usefulness.pauses() {
            Verdict::TakeIn
        } else {
            Verdict::Pass
        }
    }

    /// Whether a page that nobody asked for may be taken in at all: there is room.
    pub fn has_room(&self) -> bool {
        !self.lock().full
    }

    /// Leaves a shadow of a page that is not held.
    fn remember(&self, guarded: &mut Guarded, file: FileId, index: u64) {
        let Some(slot) = guarded.index.find_or_make(file, index) else {
            return;
        };
        if matches!(guarded.index.on(slot), On::Nothing | On::Shadows) {
            self.shadow(guarded, slot);
            guarded.index.give(slot);
        }
    }

    /// Makes a slot a shadow, whatever it was. Returns whether that was done: not while somebody
    /// reads its page, if it has one.
    pub(super) fn shadow(&self, guarded: &mut Guarded, slot: u32) -> bool {
        let moment = guarded.index.moment;
        let shadow = Slot::shadow(moment % SHADOW_MOMENTS);
        if !self.store.clear(slot, shadow) {
            return false;
        }
        guarded.index.moment = moment.wrapping_add(1);
        guarded.index.put(slot, On::Shadows);
        self.trim(guarded);
        true
    }

    /// Takes in a page. `still_right` is asked under the cache's lock whether the page is still what
    /// the file has there; whoever changes the file says so before it calls
    /// [`invalidate`](Self::invalidate).
    pub fn add(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &Page,
        read: Read,
        still_right: impl Fn() -> bool,
    ) -> Added {
        let packed = self.store.pack(worker, page);
        let raw = packed.is_raw();
        let mut guarded = self.lock();
        guarded.index.files.get_mut(file.0).usefulness.tried(raw);
        if !still_right() {
            return Added::Passed;
        }
        if raw {
            guarded.counts.bypassed += 1;
            self.remember(&mut guarded, file, index);
            return Added::Raw;
        }
        let Some(slot) = guarded.index.find_or_make(file, index) else {
            return Added::Passed;
        };
        let to = match guarded.index.on(slot) {
            On::Nothing => {
                guarded.index.never_given(slot);
                On::Inactive
            }
            On::Shadows if read == Read::Ahead => On::Inactive,
            On::Shadows => self.refault_to(&guarded, slot),
            // Somebody else took it in meanwhile, or does so now.
            On::Inactive | On::Active | On::Pinned => return Added::Held,
            On::Reserved => return Added::Passed,
        };
        guarded.index.put(slot, On::Reserved);
        self.limit_pool(&guarded);
        drop(guarded);
        let placed = self.make_room_and_place(slot, &packed);
        let mut guarded = self.lock();
        // Whoever drops or pins the page takes the reservation away. Its slot may be another page's
        // then, or reserved again: by somebody who took in the same page, if it is still right.
        let reserved = guarded.index.find(file, index) == Some((slot, On::Reserved));
        let placed = match placed {
            Some(placed) if reserved && still_right() => placed,
            unwanted => {
                if reserved {
                    self.shadow(&mut guarded, slot);
                }
                drop(guarded);
                if let Some(placed) = unwanted {
                    self.store.take_back(placed);
                }
                return Added::Passed;
            }
        };
        self.store.commit_packed(&packed, slot, placed);
        guarded.counts.admitted += 1;
        guarded.index.put(slot, to);
        if read == Read::Asked {
            guarded.index.give(slot);
        }
        self.trim(&mut guarded);
        Added::Held
    }

    /// The list for a page that comes back to where its shadow lies.
    fn refault_to(&self, guarded: &Guarded, slot: u32) -> On {
        let Cell::Absent(said) = self.store.cell(slot) else {
            return On::Inactive;
        };
        let Some(crate::slot::Entry::Shadow { when }) = said.entry() else {
            return On::Inactive;
        };
        let distance = guarded.index.moment.wrapping_sub(when) % SHADOW_MOMENTS;
        if distance <= guarded.index.lists.len(On::Active) {
            On::Active
        } else {
            On::Inactive
        }
    }

    /// Holds a page that must not be dropped: one that is dirty, or the only copy. It replaces
    /// what was held of it, and stays until [`unpin`](Self::unpin), or it is forgotten.
    ///
    /// # Errors
    /// [`NoRoom`]; what was held of it before is still held.
    pub fn pin(
        &self,
        worker: &mut Worker<H::Codecs>,
        file: FileId,
        index: u64,
        page: &Page,
    ) -> Result<(), NoRoom> {
        let packed = self.store.pack(worker, page);
        let mut guarded = self.lock();
        let slot = match guarded.index.find_or_make(file, index) {
            Some(slot) => slot,
            None if self.free_a_block(&mut guarded) => {
                guarded.index.find_or_make(file, index).ok_or(NoRoom)?
            }
            None => return Err(NoRoom),
        };
        let before = guarded.index.on(slot);
        // At once, so that it stays where it is while room is made.
        guarded.index.put(slot, On::Pinned);
        if self.make_room_and_put(&mut guarded, slot, &packed).is_err() {
            guarded.index.put(slot, before);
            return Err(NoRoom);
        }
        guarded.index.give(slot);
        guarded.counts.writes += 1;
        Ok(())
    }

    /// A pinned page was written out: it may be dropped from now on.
    pub fn unpin(&self, file: FileId, index: u64) {
        let mut guarded = self.lock();
        if let Some((slot, On::Pinned)) = guarded.index.find(file, index) {
            guarded.index.put(slot, On::Inactive);
        }
    }

    /// Stores a page's chunk for a slot, without the lock but where others have to be dropped.
    fn make_room_and_place(&self, slot: u32, packed: &Packed<'_>) -> Option<Slot> {
        for _ in 0..TRIES {
            if let Ok(placed) = self.store.place_packed(slot, packed) {
                return Some(placed);
            }
            let mut guarded = self.lock();
            guarded.full = true;
            if self.evict(&mut guarded, BATCH) == 0 {
                break;
            }
        }
        None
    }

    fn make_room_and_put(
        &self,
        guarded: &mut Guarded,
        slot: u32,
        packed: &Packed<'_>,
    ) -> Result<(), NoRoom> {
        self.limit_pool(guarded);
        for _ in 0..TRIES {
            if let Ok(placed) = self.store.place_packed(slot, packed) {
                self.store.commit_packed(packed, slot, placed);
                return Ok(());
            }
            guarded.full = true;
            if self.evict(guarded, BATCH) == 0 {
                break;
            }
        }
        Err(NoRoom)
    }
}
