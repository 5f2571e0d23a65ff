//! Far words: the search for them, and their numbers in the streams.

use super::super::blocks;
use super::classes::Found;
use super::sizes::{GROUP, GROUP_WORDS, GROUPS, LANES, WORDS};
use crate::page::Page;

/// Entries of the table.
const ENTRIES: usize = 1024;

/// How many words before its block a far word may be.
pub(super) const REACH: u32 = 256;

/// Where to look for far words, and what was found of a group.
pub(super) struct Far {
    /// By a hash of a word's upper 24 bits, the place in the page of the last such word of the
    /// blocks before, less than [`WORDS`].
    table: [u16; ENTRIES],
    /// Each word's hash.
    hashes: [u16; GROUP_WORDS],
    /// Where in the page each word's far word is.
    pub(super) places: [u16; GROUP_WORDS],
    /// Each word's far word.
    pub(super) words: [u32; GROUP_WORDS],
}

/// The place of a word in the table.
#[inline(always)]
fn hash(word: u32) -> usize {
    ((word >> 8).wrapping_mul(0x9e37_79b1) >> 22) as usize % ENTRIES
}

/// A group's words.
#[inline(always)]
fn group_of(page: &Page, group: usize) -> &[[u8; 4]; GROUP_WORDS] {
    let words = page.as_chunks::<4>().0.get(group * GROUP_WORDS..);
    words
        .and_then(<[_]>::first_chunk)
        .unwrap_or(&[[0; 4]; GROUP_WORDS])
}

impl Far {
    /// Forgets the words of the page before.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        blocks::clear(&mut self.table);
    }

    /// Looks up the far words of those words of a group that may profit, `sought`; the groups
    /// before were looked at. What `places` and `words` hold of others is undefined.
    ///
    /// Tells what is true of them if `WITH_FACTS` is true; vectors do that faster, with `words`, which
    /// are noted for them.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline(always)]
    pub(super) fn look_up<const WITH_FACTS: bool>(
        &mut self,
        page: &Page,
        group: usize,
        sought: u64,
    ) -> Found {
        assert!(group < GROUPS);
        let of_group = group_of(page, group);
        let words = page.as_chunks::<4>().0;
        let mut found = Found::default();
        for block in 0..GROUP {
            let first = group * GROUP_WORDS + block * LANES;
            let of_block = sought & (0xffff << (block * LANES));
            let mut set = of_block;
            while set != 0 {
                let i = set.trailing_zeros() as usize % GROUP_WORDS;
                set &= set - 1;
                let word = u32::from_le_bytes(of_group[i]);
                let hash = hash(word);
                let place = self.table[hash];
                debug_assert!(usize::from(place) < WORDS);
                // SAFETY: what enters the table, all zeros at first, are places of words of groups that
                // there are.
                let far = u32::from_le_bytes(unsafe { *words.get_unchecked(usize::from(place)) });
                self.hashes[i] = hash as u16;
                self.places[i] = place;
                if WITH_FACTS {
                    // Out of reach, a bit above the low eight is set.
                    let back = (first as u32).wrapping_sub(1 + u32::from(place));
                    let differ = (word ^ far) | (back & !(REACH - 1));
                    // Without a branch: the borrow of a subtraction.
                    found.equal |= (u64::from(differ).wrapping_sub(1) >> 63) << i;
                    found.near |= (u64::from(differ).wrapping_sub(1 << 8) >> 63) << i;
                } else {
                    self.words[i] = far;
                }
            }
            // Words of the same block do not count, so they enter the table after it.
            let mut set = of_block;
            while set != 0 {
                let i = set.trailing_zeros() as usize % GROUP_WORDS;
                set &= set - 1;
                let hash = usize::from(self.hashes[i]);
                debug_assert!(hash < ENTRIES);
                // SAFETY: the hash of this word was noted above, and is less than `ENTRIES`.
                unsafe { *self.table.get_unchecked_mut(hash) = (group * GROUP_WORDS + i) as u16 };
            }
        }
        found
    }

    /// How far before the word before its block a word's far word is; above [`REACH`] if it is
    /// in the first block or none.
    #[inline(always)]
    pub(super) fn back(&self, group: usize, i: usize) -> u16 {
        let block = group * GROUP_WORDS + i / LANES * LANES;
        (block as u16).wrapping_sub(self.places[i] + 1)
    }
}
