//! The LRU lists: pages on the inactive and on the active list, and shadows in the order in
//! which their pages were dropped.
//!
//! Doubly linked, through the numbers of the slots; the links lie beside the slots in
//! [`Block`].

use super::block::{Block, Links, NONE, On, SLOTS};
use super::slab::Slab;

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: u64,
}

/// The lists, by [`On`].
#[derive(Debug)]
pub(super) struct Lists([List; 6]);

fn links(blocks: &mut Slab<Block>, slot: u32) -> &mut Links {
    &mut blocks.get_mut(slot / SLOTS).links[(slot % SLOTS) as usize]
}

impl Lists {
    pub(super) const fn new() -> Self {
        Lists(
            [List {
                first: NONE,
                last: NONE,
                len: 0,
            }; 6],
        )
    }

    /// Slots on a list; of [`On::Pinned`] and [`On::Reserved`], how many there are.
    pub(super) fn len(&self, on: On) -> u64 {
        self.0[on as usize].len
    }

    /// The slot that was put on a list first.
    pub(super) fn oldest(&self, on: On) -> Option<u32> {
        Some(self.0[on as usize].last).filter(|slot| *slot != NONE)
    }

    /// Takes a slot off the list that it is on and makes it the newest of another.
    pub(super) fn put(&mut self, blocks: &mut Slab<Block>, slot: u32, to: On) {
        let state = &mut blocks.get_mut(slot / SLOTS).on[(slot % SLOTS) as usize];
        let from = core::mem::replace(state, to);
        self.unlink(blocks, slot, from);
        let list = &mut self.0[to as usize];
        match to {
            On::Nothing => return,
            On::Pinned | On::Reserved => {}
            On::Inactive | On::Active | On::Shadows => {
                let second = list.first;
                *links(blocks, slot) = Links {
                    next: second,
                    prev: NONE,
                };
                list.first = slot;
                match second {
                    NONE => list.last = slot,
                    second => links(blocks, second).prev = slot,
                }
            }
        }
        list.len += 1;
    }

    fn unlink(&mut self, blocks: &mut Slab<Block>, slot: u32, from: On) {
        let list = &mut self.0[from as usize];
        match from {
            On::Nothing => return,
            On::Pinned | On::Reserved => {}
            On::Inactive | On::Active | On::Shadows => {
                let Links { next, prev } = *links(blocks, slot);
                match prev {
                    NONE => list.first = next,
                    prev => links(blocks, prev).next = next,
                }
                match next {
                    NONE => list.last = prev,
                    next => links(blocks, next).prev = prev,
                }
            }
        }
        list.len -= 1;
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use compcache_random::Random;
    use std::collections::VecDeque;
    use std::vec::Vec;

    #[test]
    fn they_keep_the_order() {
        let mut blocks = Slab::<Block>::new(8);
        (0..8).for_each(|_| assert!(blocks.allocate().is_some()));
        let mut lists = Lists::new();
        let all = [
            On::Nothing,
            On::Inactive,
            On::Active,
            On::Shadows,
            On::Pinned,
        ];
        let mut model: Vec<VecDeque<u32>> = (0..5).map(|_| VecDeque::new()).collect();
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let (slot, to) = (
                random.next_u64() as u32 % 64,
                all[random.next_u64() as usize % 5],
            );
            lists.put(&mut blocks, slot, to);
            model
                .iter_mut()
                .for_each(|list| list.retain(|s| *s != slot));
            model[to as usize].push_front(slot);
            for on in [On::Inactive, On::Active, On::Shadows] {
                assert_eq!(lists.oldest(on), model[on as usize].back().copied());
            }
            for on in &all[1..] {
                assert_eq!(lists.len(*on), model[*on as usize].len() as u64);
            }
        }
    }
}
