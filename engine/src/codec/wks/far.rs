//! Far words: the search for them, and their numbers in the streams.

use super::classes::{Classes, Facts, Found};
use super::format::{GROUP_WORDS, LANES, Parts, WORDS};
use crate::page::Page;

/// Entries of the table.
const ENTRIES: usize = 1024;

/// How many words before its block a far word may be.
const REACH: u32 = 256;

/// Where to look for far words, and where those of a group were found.
#[derive(Debug)]
pub(super) struct Far {
    /// By a hash of a word's upper 24 bits, two places in the page: in the low half the last
    /// such word's, and above it that of the last before that one's block.
    table: [u32; ENTRIES],
    /// For the words that are found, how far before the word before their block they lie.
    backs: [u8; GROUP_WORDS],
}

/// The place of a word in the table.
#[inline(always)]
fn place(word: u32) -> usize {
    ((word >> 8).wrapping_mul(0x9e37_79b1) >> 22) as usize % ENTRIES
}

impl Far {
    /// Forgets the words of the page before.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.table.fill(0);
    }

    /// Looks for far words of those words of a group that may profit; the groups before it were
    /// searched.
    #[inline(always)]
    pub(super) fn find(&mut self, page: &Page, group: usize, facts: Facts) -> Found {
        let words = page.as_chunks::<4>().0;
        let start = group * GROUP_WORDS;
        let of_group = words.get(start..).and_then(<[_]>::first_chunk);
        let of_group: &[[u8; 4]; GROUP_WORDS] = of_group.unwrap_or(&[[0; 4]; GROUP_WORDS]);
        let mut found = Found::default();
        let mut sought = facts.sought();
        while sought != 0 {
            let i = sought.trailing_zeros() as usize % GROUP_WORDS;
            sought &= sought - 1;
            let word = u32::from_le_bytes(of_group[i]);
            let at = (start + i) as u32;
            let block = at & !(LANES as u32 - 1);
            let entry = &mut self.table[place(word)];
            // Words of the same block do not count.
            let last = *entry & 0xffff;
            let before = if last < block { last } else { *entry >> 16 };
            *entry = before << 16 | at;
            let back = block.wrapping_sub(before + 1);
            self.backs[i] = back as u8;
            let far = u32::from_le_bytes(words[before as usize % WORDS]);
            // Out of reach, a bit above the low eight is set.
            let differ = (word ^ far) | (back & !(REACH - 1));
            // Without a branch: the borrow of a subtraction from zero.
            found.equal |= (u64::from(differ).wrapping_sub(1) >> 63) << i;
            found.near |= (u64::from(differ & !0xff).wrapping_sub(1) >> 63) << i;
        }
        found
    }

    /// Puts the numbers of a group's far words in the places of low bytes, the last of the
    /// streams but not yet counted.
    #[inline(always)]
    pub(super) fn put_numbers(&self, parts: &mut Parts, classes: Classes) {
        // The number of items before word `i`.
        let before = |set: u64, i: usize| (set & ((1 << i) - 1)).count_ones() as usize;
        let mut set = classes.far();
        while set != 0 {
            let i = set.trailing_zeros() as usize % GROUP_WORDS;
            set &= set - 1;
            let n = parts.counts.bytes + before(classes.bytes(), i);
            if let Some(byte) = parts.bytes.get_mut(n) {
                *byte = self.backs[i];
            }
        }
        let mut set = classes.far_high();
        while set != 0 {
            let i = set.trailing_zeros() as usize % GROUP_WORDS;
            set &= set - 1;
            let n = parts.counts.halves + before(classes.halves(), i);
            if let Some([_, high]) = parts.halves.as_chunks_mut::<2>().0.get_mut(n) {
                *high = self.backs[i];
            }
        }
    }
}
