//! The search for repeated strings within one page: greedy, one candidate for each hash.
//!
//! This is the parse of LZ4's and LZO1X-1's fast compressors, with positions of
//! 16 bits.

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

/// How a format writes what the search finds.
///
/// Lengths go in and out by value, so that they stay in registers.
pub(in crate::codec) trait Format {
    /// How patient the search is: after `1 << SKIP` positions without a match it looks at every
    /// second one only, after as many again at every third, and so on.
    const SKIP: u32;

    /// Writes a sequence of `page` to `out` after the first `len` bytes, which hold what was
    /// written before. Returns how many bytes are written then, `None` where `out` is full.
    fn sequence(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize>;

    /// Writes the literals from `at` to the page's end, which no match follows, and whatever
    /// ends a chunk. Returns as [`sequence`](Self::sequence) does.
    fn end(page: &Page, out: &mut [u8], len: usize, at: usize) -> Option<usize>;
}

/// The position that last held a word, by the word's hash; at most [`LAST_START`].
///
/// It is cleared for each page. Telling the entries of earlier pages from this page's instead,
/// by an epoch in each, was measured to cost an eighth of the speed: it lengthens the chain
/// from a word to its candidate, and clearing takes only a fiftieth.
pub(in crate::codec) struct Table([u16; 1 << HASH_BITS]);

impl Table {
    /// Whether any page was compressed with it.
    #[cfg(test)]
    pub(in crate::codec) fn is_touched(&self) -> bool {
        self.0 != [0; 1 << HASH_BITS]
    }
}

/// The place of a word in the table.
#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// Compresses `page` to `out`; returns the chunk's length, or `None` as soon as `out` is full.
#[inline(always)]
pub(in crate::codec) fn compress<F: Format>(
    table: &mut Table,
    page: &Page,
    out: &mut [u8],
) -> Option<usize> {
    // An empty entry is the page's first position, whose own entry is thus made.
    let entries = &mut table.0;
    entries.fill(0);
    let base = page.as_ptr();
    let mut len = 0;
    let mut anchor = 0;
    let mut at = 1;
    loop {
        if at > LAST_START {
            return F::end(page, out, len, anchor);
        }
        // SAFETY: `at` <= LAST_START, 12 bytes before the page's end.
        let mut word = unsafe { load32(base.add(at)) };
        let mut place = hash(word);
        let mut tries: usize = 1 << F::SKIP;
        let distance = loop {
            let next = at + (tries >> F::SKIP);
            tries += 1;
            let before = usize::from(core::mem::replace(&mut entries[place], at as u16));
            // SAFETY: an entry is a position, at most LAST_START.
            let candidate = unsafe { load32(base.add(before)) };
            if candidate == word {
                break at - before;
            }
            if next > LAST_START {
                return F::end(page, out, len, anchor);
            }
            // SAFETY: `next` <= LAST_START, 12 bytes before the page's end.
            word = unsafe { load32(base.add(next)) };
            place = hash(word);
            at = next;
        };
        let start = match_start(page, anchor, at, distance);
        let end = match_end(page, at + MIN_MATCH, distance);
        let sequence = Sequence {
            literals_at: anchor,
            literals: start - anchor,
            distance,
            length: end - start,
        };
        len = F::sequence(page, out, len, sequence)?;
        anchor = end;
        at = end;
        if end <= LAST_START {
            // SAFETY: `end` - 2 >= 3 and `end` is 12 bytes before the page's end.
            let word = unsafe { load32(base.add(end - 2)) };
            entries[hash(word)] = (end - 2) as u16;
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
