//! What the portable path does if the build target has no vector registers: several bytes,
//! halves or words side by side in one of 64 bits.

use super::classes::Facts;
use super::sample::{BLOCK_BYTES, MOST, PLACES, TEXT_STEP, much_text, sample, strides};
use super::sizes::GROUP_WORDS;
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
    for block in page.as_chunks::<BLOCK_BYTES>().0.iter().step_by(TEXT_STEP) {
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
    const SOME: usize = 5;
    let base = page.as_ptr();
    let mut best = (2, 0);
    'strides: for stride in strides() {
        let mut differ = 0;
        let mut places = sample();
        for _ in 0..PLACES / SOME {
            for at in places.by_ref().take(SOME) {
                // SAFETY: a place has 8 bytes in the page, and all strides lead from it to bytes of
                // the page.
                let bits = unsafe { load64(base.add(at)) ^ load64(base.add(at - 4 * stride)) };
                differ += (((bits & LOW) + LOW) | bits) >> 15 & HALVES;
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

/// For each of eight words a bit in each of four bytes: the first byte of the word is not zero, the
/// second, the third, the fourth.
#[inline(always)]
fn nonzero_bytes(pair: impl Fn(usize) -> u64) -> u32 {
    let mut sum = 0;
    for i in 0..4 {
        let bits = pair(i);
        // The top bit of each byte, to which a sum carries.
        let low = bits & (0x7f * BYTES);
        let nonzero = ((low + 0x7f * BYTES) | bits) & (0x80 * BYTES);
        sum = sum >> 2 | nonzero;
    }
    // Each second word's bits beside those of the word before.
    ((sum | sum >> 31) >> 1) as u32
}

/// What is true of words and their references.
#[inline(always)]
pub(super) fn facts(words: &[[u8; 4]; GROUP_WORDS], references: &[[u8; 4]; GROUP_WORDS]) -> Facts {
    let mut sets = [[0; GROUP_WORDS / 8]; 3];
    let pair = |words: &[[u8; 4]; GROUP_WORDS], i: usize| {
        u64::from_le_bytes(words.as_flattened().as_chunks::<8>().0[i])
    };
    for eight in 0..GROUP_WORDS / 8 {
        let bytes = nonzero_bytes(|i| {
            let i = 4 * eight + i;
            pair(words, i) ^ pair(references, i)
        });
        let over_16 = bytes >> 16 | bytes >> 24;
        let over_8 = over_16 | bytes >> 8;
        let some = over_8 | bytes;
        for (set, of_eight) in sets.iter_mut().zip([some, over_8, over_16]) {
            set[eight] = of_eight as u8;
        }
    }
    let [some, over_8, over_16] = sets.map(u64::from_le_bytes);
    // The others are asked only of the words that differ above their low 8 bits.
    let (mut zero, mut small) = (0, 0);
    let mut set = over_8;
    while set != 0 {
        let i = set.trailing_zeros() as usize % GROUP_WORDS;
        let value = u32::from_le_bytes(words[i]);
        if value < 1 << 8 {
            let bit = set & set.wrapping_neg();
            small |= bit;
            zero |= if value == 0 { bit } else { 0 };
        }
        set &= set - 1;
    }
    Facts {
        some,
        over_8,
        over_16,
        zero,
        small,
    }
}
