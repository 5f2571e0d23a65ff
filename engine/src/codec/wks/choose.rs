//! What to do with a page, from samples of it.

use super::narrow;
use super::sample::{BLOCK_BYTES, PLACE, PLACES, TEXT_STEP, much_text, sample, strides};
use crate::page::Page;

/// Whether the build target has vector registers, of which compilers make use by themselves.
pub(super) const VECTORS: bool = cfg!(any(target_feature = "sse2", target_feature = "neon"));

/// Whether much of a page is text, which lz4 packs better: of the bytes of every fourth block
/// two of five are printable ASCII, or seven of ten of those that are not zero.
#[inline(always)]
pub(super) fn is_text(page: &Page) -> bool {
    if !VECTORS {
        return narrow::is_text(page);
    }
    let (mut text, mut some) = (0, 0);
    for block in page.as_chunks::<BLOCK_BYTES>().0.iter().step_by(TEXT_STEP) {
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

/// The stride whose references have the most 16-bit halves in common with their words, the
/// shortest of several, and how many they have: up to [`MOST`].
#[inline(never)]
pub(super) fn stride(page: &Page) -> (usize, usize) {
    if !VECTORS {
        return narrow::stride(page);
    }
    // Numbers in arrays, and four sums side by side, are what compilers make vectors of.
    let halves_at = |at: usize| -> [u16; 2 * PLACE] {
        let bytes = page.get(at..).and_then(<[u8]>::first_chunk);
        let bytes: &[u8; 4 * PLACE] = bytes.unwrap_or(&[0; 4 * PLACE]);
        let mut halves = [0; 2 * PLACE];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = u16::from_le_bytes(*bytes);
        }
        halves
    };
    let mut places = [[0; 2 * PLACE]; PLACES];
    for (halves, at) in places.iter_mut().zip(sample()) {
        *halves = halves_at(at);
    }
    let mut best = (2, 0);
    for stride in strides() {
        let mut sums = [0_u16; 2 * PLACE];
        for (halves, at) in places.iter().zip(sample()) {
            let references = halves_at(at - 4 * stride);
            for ((sum, half), reference) in sums.iter_mut().zip(halves).zip(references) {
                *sum += u16::from(*half == reference);
            }
        }
        let equal = usize::from(sums.iter().sum::<u16>());
        if equal > best.1 {
            best = (stride, equal);
        }
    }
    best
}
