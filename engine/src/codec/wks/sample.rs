//! The samples of a page by which it is chosen what to do with it.

use super::sizes::{BLOCKS, LANES, MAX_STRIDE, WORDS};

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = LANES * 4;

/// Words of a place of the sample that strides are tried on.
pub(super) const PLACE: usize = 2;

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

/// Whether much of a page is text ([`choose::is_text`](super::choose::is_text)), by its two counts: printable bytes, and bytes that are not zero.
#[inline(always)]
pub(super) fn much_text(text: usize, some: usize) -> bool {
    5 * text >= 2 * (BLOCKS / TEXT_STEP * BLOCK_BYTES) || 10 * text >= 7 * some
}

/// The strides that are tried. Records and pointers repeat at whole 64-bit words; what repeats at an
/// odd number of 32-bit words repeats at twice that number, too.
pub(super) fn strides() -> impl Iterator<Item = usize> {
    (1..=MAX_STRIDE / 2).map(|pairs| 2 * pairs)
}
