//! The search for repeated strings within one page: greedy, one candidate for each hash.
//!
//! This is the parse of LZ4's and LZO1X-1's fast compressors, with the table fitted to
//! pages: positions take 16 bits, and a page costs no clearing of the table.

use alloc::boxed::Box;
use core::fmt;

use super::bytes::{load32, load64};
use crate::page::{PAGE_SIZE, Page};

/// Bits of a hash: 8192 entries of 2 bytes.
const HASH_BITS: u32 = 13;

/// The shortest match, which is also the number of bytes that are hashed.
pub(in crate::codec) const MIN_MATCH: usize = 4;

/// No match starts in the last 12 bytes of a page, and none reaches into the last 5.
///
/// Both are rules of LZ4's block format (`doc/lz4_Block_format.md`, "End of block
/// conditions"); LZO has none, but keeps them here too: they cost it nothing and leave room
/// for reading eight bytes at once.
const LAST_START: usize = PAGE_SIZE - 12;
const LAST_END: usize = PAGE_SIZE - 5;

/// A run of literals, then a match.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Sequence {
    /// Where the literals start in the page.
    pub(in crate::codec) literals_at: usize,
    /// How many there are, up to `LAST_START`.
    pub(in crate::codec) literals: usize,
    /// How far back the match is: 1 to `literals_at + literals`.
    pub(in crate::codec) distance: usize,
    /// How long the match is, at least [`MIN_MATCH`].
    pub(in crate::codec) length: usize,
}

/// What a format does with each sequence that the search finds.
pub(in crate::codec) trait Emit {
    /// Writes one sequence; `None` where the output is full.
    fn emit(&mut self, sequence: Sequence) -> Option<()>;
}

/// The hash table, which stays valid from page to page.
///
/// An entry is `epoch + position`. The epoch grows by 4096 with each page, so that entries
/// of earlier pages look further away than the start of this page and are ignored. Only
/// every fifteenth page clears the table.
pub(in crate::codec) struct Table {
    entries: Box<[u16; 1 << HASH_BITS]>,
    epoch: u16,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            entries: Box::new([0; 1 << HASH_BITS]),
            epoch: 0,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Forgets the previous page.
    #[inline]
    fn begin_page(&mut self) {
        match self.epoch.checked_add(PAGE_SIZE as u16) {
            Some(epoch) => self.epoch = epoch,
            None => {
                self.entries.fill(0);
                self.epoch = PAGE_SIZE as u16;
            }
        }
    }

    /// Puts `position` in the place of `word` and returns how far before it the place's last
    /// holder stands. The distance passes `position` if that was not in this page.
    #[inline(always)]
    fn replace(&mut self, word: u32, position: usize) -> usize {
        let hash = (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize;
        let now = self.epoch.wrapping_add(position as u16);
        let entry = &mut self.entries[hash];
        usize::from(now.wrapping_sub(core::mem::replace(entry, now)))
    }
}

/// Cuts a page into sequences and gives each to `out`; returns where the last literals,
/// which no match follows, start. `None` as soon as `out` is full.
///
/// `SKIP` is how patient the search is: after `1 << SKIP` bytes without a match it looks at
/// every second position only, after twice as many at every third, and so on.
#[inline(always)]
pub(in crate::codec) fn parse<const SKIP: u32>(
    table: &mut Table,
    page: &Page,
    out: &mut impl Emit,
) -> Option<usize> {
    let base = page.as_ptr();
    table.begin_page();
    // SAFETY: the first 4 bytes of a page.
    table.replace(unsafe { load32(base) }, 0);
    let mut anchor = 0;
    let mut at = 1;
    loop {
        let distance = loop {
            if at > LAST_START {
                return Some(anchor);
            }
            // SAFETY: `at` <= LAST_START, 12 bytes before the page's end.
            let word = unsafe { load32(base.add(at)) };
            let distance = table.replace(word, at);
            // SAFETY: `distance` <= `at`, so the candidate lies in the page, at or before `at`.
            if distance <= at && unsafe { load32(base.add(at - distance)) } == word {
                break distance;
            }
            at += 1 + ((at - anchor) >> SKIP);
        };
        let start = match_start(page, anchor, at, distance);
        let end = match_end(page, at + MIN_MATCH, distance);
        out.emit(Sequence {
            literals_at: anchor,
            literals: start - anchor,
            distance,
            length: end - start,
        })?;
        anchor = end;
        at = end;
        if end <= LAST_START {
            // SAFETY: `end` - 2 >= 3 and `end` is 12 bytes before the page's end.
            let word = unsafe { load32(base.add(end - 2)) };
            table.replace(word, end - 2);
        }
    }
}

/// Where a match starts whose bytes from `at` on are known to be equal, `first` or later.
///
/// `distance` must be at most `at`, and `at` inside of the page.
#[inline(always)]
fn match_start(page: &Page, first: usize, at: usize, distance: usize) -> usize {
    debug_assert!(at < PAGE_SIZE && distance <= at);
    let base = page.as_ptr();
    let first = first.max(distance);
    let mut start = at;
    while start > first {
        // SAFETY: `start` > `first` >= `distance`, and at most `at`: both bytes lie in the page.
        let equal = unsafe { *base.add(start - 1) == *base.add(start - 1 - distance) };
        if !equal {
            break;
        }
        start -= 1;
    }
    start
}

/// Where a match ends whose bytes before `at` are known to be equal.
///
/// `distance` must be at most `at`, and `at` at most `LAST_END`.
#[inline(always)]
fn match_end(page: &Page, mut at: usize, distance: usize) -> usize {
    debug_assert!(at <= LAST_END && distance <= at);
    let base = page.as_ptr();
    while at + 8 <= LAST_END {
        // SAFETY: `at` + 8 is inside of the page, and `at` - `distance` not before its start.
        let differ = unsafe { load64(base.add(at)) ^ load64(base.add(at - distance)) };
        if differ != 0 {
            return at + (differ.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < LAST_END && page[at] == page[at - distance] {
        at += 1;
    }
    at
}
