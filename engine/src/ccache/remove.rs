//! Removing pages of a file: forgotten, or remembered as shadows.

use super::block::List;
use super::cache::Ccache;
use super::index::{FileId, Known};
use super::locked::Locked;
use crate::host::{FrameMemory, Host, SlotMemory};
use crate::slot::Slot;

impl<H: Host, F: FrameMemory, S: SlotMemory> Ccache<H, F, S> {
    /// Forgets a file and all its pages. Nobody may use it any more.
    pub fn remove_file(&self, file: FileId) {
        self.forget(file, 0, u64::MAX);
        self.lock().index.files.free(file.0);
    }

    /// Frees pages `first..end` of a file, pinned ones too, and forgets all about them. Returns
    /// how many were held.
    pub fn forget(&self, file: FileId, first: u64, end: u64) -> u64 {
        self.remove_pages(file, first, end, List::None)
    }

    /// Frees pages `first..end` of a file, pinned ones too, but remembers those that were held or
    /// known: they were changed on SOURCE. Returns how many were held.
    pub fn invalidate(&self, file: FileId, first: u64, end: u64) -> u64 {
        self.remove_pages(file, first, end, List::Shadows)
    }

    fn remove_pages(&self, file: FileId, first: u64, end: u64, to: List) -> u64 {
        let (mut from, mut held, mut attempt) = (first, 0, 0);
        while from < end {
            // The lock is released between blocks, of which a file can have many, and while somebody
            // reads one of the pages.
            let mut guarded = self.lock_to_remove();
            let Some((slots, next)) = guarded.index.known_from(file, from) else {
                break;
            };
            let mut known = slots.filter(|known| known.page < end);
            if known.all(|Known { slot, .. }| self.remove_page(&mut guarded, slot, to, &mut held)) {
                (from, attempt) = (next, 0);
                continue;
            }
            drop(guarded);
            self.store.host().backoff(attempt);
            attempt += 1;
        }
        held
    }

    /// Empties a slot, or makes it a shadow, and adds to `held` whether its page was held. Returns
    /// whether that was done: not while somebody reads the page.
    fn remove_page(
        &self,
        guarded: &mut Locked<'_, H, F, S>,
        slot: u32,
        to: List,
        held: &mut u64,
    ) -> bool {
        // Making a neighbour a shadow may have dropped or forgotten this one.
        let list = guarded.index.list_of(slot);
        if list == to || list == List::None {
            return true;
        }
        let done = match to {
            List::Shadows => self.shadow(guarded, slot),
            _ => guarded.clear(slot, Slot::EMPTY),
        };
        if done {
            *held += u64::from(list.holds());
        }
        if done && to == List::None {
            guarded.index.move_to(slot, to);
        }
        done
    }
}
