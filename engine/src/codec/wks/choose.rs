//! What to do with a page, from samples of it.

use super::format::{BLOCKS, LANES, MAX_STRIDE, WORDS};
use super::narrow;
use crate::page::Page;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = LANES * 4;

/// Words of a place of the sample that strides are tried on.
const PLACE: usize = 2;

/// Words from one place to the next: a prime, so that the places are not the same of every record.
const STEP: usize = 47;

/// How many places are in the sample.
pub(super) const PLACES: usize = 20;

/// Halves in the sample.
pub(super) const MOST: usize = PLACES * PLACE * 2;

const _: () = assert!(MAX_STRIDE + (PLACES - 1) * STEP + PLACE <= WORDS);

/// Of so many blocks, one is looked at for text.
pub(super) const TEXT_STEP: usize = 4;

/// Where in the page a place of the sample is, in bytes; it has 8. All strides lead from it to words
/// of the page.
#[inline(always)]
pub(super) const fn place_at(place: usize) -> usize {
    4 * (MAX_STRIDE + place * STEP)
}

/// All places of the sample.
#[inline(always)]
pub(super) fn sample() -> impl Iterator<Item = usize> {
    (0..PLACES).map(place_at)
}

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

/// The rule of [`is_text`] by its two counts: printable bytes, and bytes that are not zero.
#[inline(always)]
pub(super) fn much_text(text: usize, some: usize) -> bool {
    5 * text >= 2 * (BLOCKS / TEXT_STEP * BLOCK_BYTES) || 10 * text >= 7 * some
}

/// The strides that are tried. Records and pointers repeat at whole 64-bit words; what repeats at an
/// odd number of 32-bit words repeats at twice that number, too.
pub(super) fn strides() -> impl Iterator<Item = usize> {
    (1..=MAX_STRIDE / 2).map(|pairs| 2 * pairs)
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
