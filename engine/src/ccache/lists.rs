//! The LRU lists: pages on the inactive and on the active list, and shadows in the order in
//! which their pages were dropped.
//!
//! Doubly linked, through the numbers of the slots; the links lie beside the slots in
//! [`Block`].

use super::block::{Block, Links, List, NONE, SLOTS};
use super::slab::Slab;

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    len: u64,
}

/// The lists, by [`List`].
#[derive(Debug)]
pub(super) struct Lists([Ends; 6]);

fn links(blocks: &mut Slab<Block>, slot: u32) -> &mut Links {
    &mut blocks.get_mut(slot / SLOTS).links[(slot % SLOTS) as usize]
}

impl Lists {
    pub(super) const fn new() -> Self {
        Lists(
            [Ends {
                first: NONE,
                last: NONE,
                len: 0,
            }; 6],
        )
    }

    /// Slots on a list; of [`List::Pinned`] and [`List::Reserved`], how many there are.
    pub(super) fn len(&self, list: List) -> u64 {
        self.0[list as usize].len
    }

    /// The slot that was put on a list first.
    pub(super) fn oldest(&self, list: List) -> Option<u32> {
        Some(self.0[list as usize].last).filter(|slot| *slot != NONE)
    }

    /// Takes a slot off the list that it is on and makes it the newest of another.
    pub(super) fn move_to(&mut self, blocks: &mut Slab<Block>, slot: u32, to: List) {
        let state = &mut blocks.get_mut(slot / SLOTS).list[(slot % SLOTS) as usize];
        let from = core::mem::replace(state, to);
        self.unlink(blocks, slot, from);
        let ends = &mut self.0[to as usize];
        match to {
            List::None => return,
            List::Pinned | List::Reserved => {}
            List::Inactive | List::Active | List::Shadows => {
                let second = ends.first;
                *links(blocks, slot) = Links {
                    next: second,
                    prev: NONE,
                };
                ends.first = slot;
                match second {
                    NONE => ends.last = slot,
                    second => links(blocks, second).prev = slot,
                }
            }
        }
        ends.len += 1;
    }

    fn unlink(&mut self, blocks: &mut Slab<Block>, slot: u32, from: List) {
        let ends = &mut self.0[from as usize];
        match from {
            List::None => return,
            List::Pinned | List::Reserved => {}
            List::Inactive | List::Active | List::Shadows => {
                let Links { next, prev } = *links(blocks, slot);
                match prev {
                    NONE => ends.first = next,
                    prev => links(blocks, prev).next = next,
                }
                match next {
                    NONE => ends.last = prev,
                    next => links(blocks, next).prev = prev,
                }
            }
        }
        ends.len -= 1;
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
            List::None,
            List::Inactive,
            List::Active,
            List::Shadows,
            List::Pinned,
        ];
        let mut model: Vec<VecDeque<u32>> = (0..5).map(|_| VecDeque::new()).collect();
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let (slot, to) = (
                random.next_u64() as u32 % 64,
                all[random.next_u64() as usize % 5],
            );
            lists.move_to(&mut blocks, slot, to);
            model
                .iter_mut()
                .for_each(|list| list.retain(|s| *s != slot));
            model[to as usize].push_front(slot);
            for list in [List::Inactive, List::Active, List::Shadows] {
                assert_eq!(lists.oldest(list), model[list as usize].back().copied());
            }
            for list in &all[1..] {
                assert_eq!(lists.len(*list), model[*list as usize].len() as u64);
            }
        }
    }
}
