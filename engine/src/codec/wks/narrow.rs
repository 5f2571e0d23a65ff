//! What the portable path does where the build target has no vector registers: several bytes,
//! halves or words side by side in one of 64 bits.

use super::choose::{BLOCK_BYTES, MOST, PLACES, much_text, sample};
use super::classes::Facts;
use super::format::{GROUP_WORDS, MAX_STRIDE};
use crate::codec::lz77::load64;
use crate::page::Page;

/// The low bit of each byte.
const BYTES: u64 = 0x0101_0101_0101_0101;

/// The low bit of each half.
const HALVES: u64 = 0x0001_0001_0001_0001;

/// All but the top bit of each half.
const LOW: u64 = 0x7fff_7fff_7fff_7fff;

/// [`choose::is_text`](super::choose::is_text).
#[inline(always)]
pub(super) fn is_text(page: &Page) -> bool {
    let (mut text, mut some) = (0, 0);
    for block in page.as_chunks::<BLOCK_BYTES>().0.iter().step_by(2) {
        let (mut text_here, mut some_here) = (0, 0);
        for eight in block.as_chunks::<8>().0 {
            let eight = u64::from_le_bytes(*eight);
            // Sums that carry into a byte's top bit: from 0x20, 0x7f and 0x01 on.
            let low = eight & (0x7f * BYTES);
            let above = low + 0x60 * BYTES;
            let delete = (low + BYTES) | eight;
            let nonzero = (low + 0x7f * BYTES) | eight;
            text_here += (above & !delete) >> 7 & BYTES;
            some_here += nonzero >> 7 & BYTES;
        }
        // The product's top byte is the sum of all bytes.
        text += (text_here.wrapping_mul(BYTES) >> 56) as usize;
        some += (some_here.wrapping_mul(BYTES) >> 56) as usize;
    }
    much_text(text, some)
}

/// [`choose::stride`](super::choose::stride).
#[inline(always)]
pub(super) fn stride(page: &Page) -> (usize, usize) {
    /// Places after which a stride that cannot be the best is given up.
    const SOME: usize = 4;
    let base = page.as_ptr();
    let mut best = (1, 0);
    'strides: for stride in 1..=MAX_STRIDE {
        let mut differ = 0;
        let mut places = sample();
        for _ in 0..PLACES / SOME {
            for at in places.by_ref().take(SOME) {
                for at in [at, at + 8] {
                    // SAFETY: a place has 16 bytes in the page, and all strides lead from it to
                    // bytes of the page.
                    let (words, references) =
                        unsafe { (load64(base.add(at)), load64(base.add(at - 4 * stride))) };
                    let bits = words ^ references;
                    differ += (((bits & LOW) + LOW) | bits) >> 15 & HALVES;
                }
            }
            // The product's top half is the sum of all halves.
            let equal = MOST - (differ.wrapping_mul(HALVES) >> 48) as usize;
            if equal <= best.1 {
                continue 'strides;
            }
        }
        best = (stride, MOST - (differ.wrapping_mul(HALVES) >> 48) as usize);
    }
    best
}

/// What is true of words and their references; what only the balanced level asks for where `all`
/// is true.
#[inline(always)]
pub(super) fn facts(
    words: &[[u8; 4]; GROUP_WORDS],
    references: &[[u8; 4]; GROUP_WORDS],
    all: bool,
) -> Facts {
    let (mut equal, mut below_8, mut below_16) = (0, 0, 0);
    // The borrow of a subtraction: cheaper than a comparison.
    let below = |value: u32, limit: u64| u64::from(value).wrapping_sub(limit) >> 63;
    let value = |word: &[u8; 4]| u32::from_le_bytes(*word);
    for (word, reference) in words.iter().zip(references).rev() {
        let differ = value(word) ^ value(reference);
        equal = 2 * equal + below(differ, 1);
        below_8 = 2 * below_8 + below(differ, 1 << 8);
        below_16 = 2 * below_16 + below(differ, 1 << 16);
    }
    // The others are asked only of the words that differ above their low 8 bits.
    let (mut zero, mut small) = (0, 0);
    let mut set: u64 = if all { !below_8 } else { 0 };
    while set != 0 {
        let i = set.trailing_zeros() as usize % GROUP_WORDS;
        set &= set - 1;
        let value = value(&words[i]);
        zero |= below(value, 1) << i;
        small |= below(value, 1 << 8) << i;
    }
    Facts {
        some: !equal,
        over_8: !below_8,
        over_16: !below_16,
        zero,
        small,
    }
}
