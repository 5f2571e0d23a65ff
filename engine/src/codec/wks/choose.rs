//! What to do with a page, from a sample of its blocks.

use super::format::{BLOCKS, LANES, MAX_STRIDE};
use crate::page::{PAGE_SIZE, Page};

/// Bytes of a block.
const BLOCK_BYTES: usize = LANES * 4;

/// The first block of the sample that strides are tried on: all strides lead from it to words of the page.
const FIRST: usize = MAX_STRIDE / LANES;

/// Every so many blocks one is in the sample.
const STEP: usize = 8;

/// How many blocks are in the sample.
pub(super) const SAMPLES: usize = (BLOCKS - FIRST).div_ceil(STEP);

/// The places of the sample in the page, in bytes.
#[inline(always)]
pub(super) fn sample() -> impl Iterator<Item = usize> {
    (FIRST..BLOCKS).step_by(STEP).map(|b| b * BLOCK_BYTES)
}

/// Whether much of a page is text, which lz4 packs better: of the bytes of every second block
/// two of five are printable ASCII, or seven of ten of those that are not zero.
#[inline(always)]
pub(super) fn is_text(page: &Page) -> bool {
    let (mut text, mut some) = (0, 0);
    for block in page.as_chunks::<BLOCK_BYTES>().0.iter().step_by(2) {
        let (mut text_here, mut some_here) = (0_u8, 0_u8);
        for byte in block {
            text_here += u8::from(byte.wrapping_sub(b' ') < 0x5f);
            some_here += u8::from(*byte != 0);
        }
        text += usize::from(text_here);
        some += usize::from(some_here);
    }
    much_text(text, some)
}

/// The rule of [`is_text`] by its two counts: printable bytes, and bytes that are not zero.
#[inline(always)]
pub(super) fn much_text(text: usize, some: usize) -> bool {
    5 * text >= 2 * (BLOCKS / 2 * BLOCK_BYTES) || 10 * text >= 7 * some
}

/// The stride whose references have the most 16-bit halves in common with their words, the
/// shortest of several, and how many they have: up to [`MOST`].
#[inline(always)]
pub(super) fn stride(page: &Page) -> (usize, usize) {
    // Numbers in an array, and eight sums side by side, are what compilers make vectors of.
    let mut halves = [0_u16; PAGE_SIZE / 2];
    for (half, bytes) in halves.iter_mut().zip(page.as_chunks::<2>().0) {
        *half = u16::from_le_bytes(*bytes);
    }
    let mut best = (1, 0);
    for stride in 1..=MAX_STRIDE {
        let mut sums = [0_u16; 8];
        for at in sample() {
            let at = at / 2;
            let block = &halves[at..at + 2 * LANES];
            let references = &halves[at - 2 * stride..][..2 * LANES];
            for eight in 0..2 * LANES / 8 {
                for (k, sum) in sums.iter_mut().enumerate() {
                    let i = 8 * eight + k;
                    *sum += u16::from(block[i] == references[i]);
                }
            }
        }
        let equal = usize::from(sums.iter().sum::<u16>());
        if equal > best.1 {
            best = (stride, equal);
        }
    }
    best
}

/// Halves in the sample.
pub(super) const MOST: usize = SAMPLES * LANES * 2;
