//! The search for repeated strings within one page: greedy, one candidate for each hash.
//!
//! This is the parse of LZ4's and LZO1X-1's fast compressors, with positions of
//! 16 bits.

use super::super::blocks;
use super::bytes::{load32, load64};
use crate::page::{PAGE_SIZE, Page};

/// Bits of a hash: 4096 entries of 2 bytes. Twice as many find a thousandth more, which does not
/// pay for clearing them.
const HASH_BITS: u32 = 12;

/// The shortest match, which is also the number of bytes that are hashed.
pub(in crate::codec) const MIN_MATCH: usize = 4;

/// No match starts in the last 12 bytes of a page, and none reaches into the last 5.
///
/// Both are rules of LZ4's block format (`doc/lz4_Block_format.md`, "End of block
/// conditions"); LZO has none, but keeps them here too: they cost it nothing.
const VERY_LAST_START: usize = PAGE_SIZE - 12;
const LAST_END: usize = PAGE_SIZE - 5;

/// Matches that start up to here are found and written fast: literals before them can be copied 16
/// bytes at a time, and the eight bytes after their first four be compared at once, without a look
/// at where the page ends.
const LAST_START: usize = PAGE_SIZE - 17;

/// A run of literals, then a match.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Sequence {
    /// Where the literals start in the page.
    pub(in crate::codec) literals_at: usize,
    /// How many there are.
    pub(in crate::codec) literals: usize,
    /// How far back the match is: 1 to `literals_at + literals`.
    pub(in crate::codec) distance: usize,
    /// How long the match is, at least [`MIN_MATCH`].
    pub(in crate::codec) length: usize,
}

/// A [`Sequence`] in one register, to be handed to a function that is not inlined: by reference
/// it would have to live in memory all the time.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Packed(u64);

impl From<Sequence> for Packed {
    #[inline(always)]
    fn from(sequence: Sequence) -> Self {
        // None is more than a page's size.
        let [literals_at, literals, distance, length] = [
            sequence.literals_at,
            sequence.literals,
            sequence.distance,
            sequence.length,
        ]
        .map(|n| n as u64);
        Packed(literals_at | literals << 16 | distance << 32 | length << 48)
    }
}

impl From<Packed> for Sequence {
    #[inline(always)]
    fn from(Packed(packed): Packed) -> Self {
        let field = |shift: u32| (packed >> shift & 0xffff) as usize;
        Sequence {
            literals_at: field(0),
            literals: field(16),
            distance: field(32),
            length: field(48),
        }
    }
}

/// How a format writes what the search finds.
///
/// Lengths go in and out by value, so that they stay in registers.
pub(in crate::codec) trait Format {
    /// How patient the search is: after `1 << SKIP` positions without a match it looks at every
    /// second one only, after as many again at every third, and so on.
    const SKIP: u32;

    /// Writes a sequence of `page` to `out` after the first `len` bytes, which hold what was
    /// written before, if it is short and there is plenty of room. Returns how many bytes are
    /// written then. Its match starts 17 bytes before the page's end or earlier.
    fn short(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize>;

    /// Does what [`short`](Self::short) does for a match without literals, `distance` back and
    /// `length` long.
    fn short_match(out: &mut [u8], len: usize, distance: usize, length: usize) -> Option<usize>;

    /// Does what [`short`](Self::short) does for any sequence whose match starts 17 bytes before the
    /// page's end or earlier. `None` if `out` is full.
    fn long(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize>;

    /// Does what [`short`](Self::short) does for any sequence, each byte checked. `None` if `out`
    /// is full.
    fn any(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize>;

    /// Writes the literals from `at` to the page's end, which no match follows, and whatever
    /// ends a chunk. Returns as [`long`](Self::long) does.
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
///
/// After a match, every `first_step`-th position is looked at.
#[inline(always)]
pub(in crate::codec) fn compress<F: Format>(
    table: &mut Table,
    page: &Page,
    out: &mut [u8],
    first_step: usize,
) -> Option<usize> {
    // An empty entry is the page's first position, whose own entry is thus made.
    let entries = &mut table.0;
    blocks::clear(entries);
    let base = page.as_ptr();
    let mut len = 0;
    let mut anchor = 0;
    let mut at = 1;
    // Where the first run of positions ends: in a run the search steps by the same number of bytes.
    let mut run_end = at + (1 << F::SKIP);
    loop {
        let mut step = first_step;
        let before = 'found: loop {
            run_end = run_end.min(LAST_START + 1);
            while at < run_end {
                // SAFETY: `at` <= LAST_START, 17 bytes before the page's end.
                let word = unsafe { load32(base.add(at)) };
                let before = core::mem::replace(&mut entries[hash(word)], at as u16);
                let before = usize::from(before);
                // SAFETY: an entry is a position, at most LAST_START.
                if unsafe { load32(base.add(before)) } == word {
                    break 'found before;
                }
                at += step;
            }
            if at > LAST_START {
                return last::<F>(table, page, out, len, anchor, at);
            }
            step += 1;
            run_end = at + (step << F::SKIP);
        };
        let start = match_start(page, anchor, at, before);
        let mut end = match_end(page, at, before);
        let sequence = Sequence {
            literals_at: anchor,
            literals: start - anchor,
            distance: at - before,
            length: end - start,
        };
        len = match F::short(page, out, len, sequence) {
            Some(len) => len,
            None => F::long(page, out, len, sequence.into())?,
        };
        // Two of five matches follow the one before at once. They have no literals and cannot
        // start earlier.
        loop {
            if end > LAST_START {
                return last::<F>(table, page, out, len, end, end);
            }
            // SAFETY: `end` - 2 >= 3, and `end` is 17 bytes before the page's end.
            let (earlier, word) = unsafe { (load32(base.add(end - 2)), load32(base.add(end))) };
            entries[hash(earlier)] = (end - 2) as u16;
            let before = core::mem::replace(&mut entries[hash(word)], end as u16);
            let before = usize::from(before);
            // SAFETY: an entry is a position, at most LAST_START.
            if unsafe { load32(base.add(before)) } != word {
                break;
            }
            let next = match_end(page, end, before);
            let sequence = Sequence {
                literals_at: end,
                literals: 0,
                distance: end - before,
                length: next - end,
            };
            len = match F::short_match(out, len, sequence.distance, sequence.length) {
                Some(len) => len,
                None => F::long(page, out, len, sequence.into())?,
            };
            end = next;
        }
        anchor = end;
        run_end = end + (1 << F::SKIP);
        at = end + 1;
    }
}

/// Ends a chunk: looks for a last match from `at` on, which is past [`LAST_START`].
#[inline(never)]
fn last<F: Format>(
    table: &Table,
    page: &Page,
    out: &mut [u8],
    len: usize,
    anchor: usize,
    at: usize,
) -> Option<usize> {
    let word = |at: usize| page[at..].first_chunk::<MIN_MATCH>();
    for at in at..=VERY_LAST_START {
        let four = word(at)?;
        let before = usize::from(table.0[hash(u32::from_le_bytes(*four))]);
        if word(before) != Some(four) {
            continue;
        }
        let pairs = page[at..LAST_END].iter().zip(&page[before..]);
        let length = pairs.take_while(|(a, b)| a == b).count();
        let sequence = Sequence {
            literals_at: anchor,
            literals: at - anchor,
            distance: at - before,
            length,
        };
        let len = F::any(page, out, len, sequence.into())?;
        return F::end(page, out, len, at + length);
    }
    F::end(page, out, len, anchor)
}

/// Where a match starts, `anchor` or later, of which four bytes from `at` on are known to be equal
/// to those from `before` on.
///
/// `before` must be less than `at`, and `at` at most [`LAST_START`].
#[inline(always)]
fn match_start(page: &Page, anchor: usize, at: usize, before: usize) -> usize {
    debug_assert!(before < at && at <= LAST_START);
    if at > anchor && before > 0 {
        let base = page.as_ptr();
        // SAFETY: both places are at least 1 and in the page.
        if unsafe { *base.add(at - 1) == *base.add(before - 1) } {
            return earlier_start(page, anchor, at, before);
        }
    }
    at
}

/// [`match_start`] if the byte before is known to be equal too. Every position is looked at as
/// long as the search is patient, so that is rare.
#[cold]
#[inline(never)]
fn earlier_start(page: &Page, anchor: usize, at: usize, before: usize) -> usize {
    let back = page[anchor..at]
        .iter()
        .rev()
        .zip(page[..before].iter().rev());
    at - back.take_while(|(a, b)| a == b).count()
}

/// Where a match ends that starts at `at`, and whose first four bytes are known to be equal to
/// those from `before` on.
///
/// `before` must be less than `at`, and `at` at most [`LAST_START`].
#[inline(always)]
fn match_end(page: &Page, at: usize, before: usize) -> usize {
    debug_assert!(before < at && at <= LAST_START);
    let (base, distance) = (page.as_ptr(), at - before);
    let mut at = at + MIN_MATCH;
    loop {
        // SAFETY: `at` + 8 is at most `LAST_END`: before the loop as `LAST_START` is early
        // enough, then because it was checked. What is `distance` before is in the page.
        let differ = unsafe { load64(base.add(at)) ^ load64(base.add(at - distance)) };
        if differ != 0 {
            return at + (differ.trailing_zeros() / 8) as usize;
        }
        at += 8;
        if at > LAST_END - 8 {
            break;
        }
    }
    while at < LAST_END && page[at] == page[at - distance] {
        at += 1;
    }
    at
}

const _: () = assert!(LAST_START + MIN_MATCH + 8 <= LAST_END);
