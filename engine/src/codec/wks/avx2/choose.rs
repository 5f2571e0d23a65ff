//! What to do with a page.

use core::arch::x86_64::*;

use super::super::sample::{BLOCK_BYTES, PLACES, TEXT_STEP, much_text, place_at, strides};
use super::super::sizes::BLOCKS;
use crate::page::Page;

/// [`choose::is_text`](super::super::choose::is_text).
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) fn is_text(page: &Page) -> bool {
    let zero = _mm256_setzero_si256();
    // In each of 32 sums one is counted for a byte, of at most 64 bytes.
    let (mut text, mut none) = (zero, zero);
    for block in page.as_chunks::<BLOCK_BYTES>().0.iter().step_by(TEXT_STEP) {
        for half in block.as_chunks::<32>().0 {
            // SAFETY: half a block has 32 bytes; the load needs no alignment.
            let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
            let shifted = _mm256_sub_epi8(bytes, _mm256_set1_epi8(0x20));
            let printable = _mm256_min_epu8(shifted, _mm256_set1_epi8(0x5e));
            text = _mm256_sub_epi8(text, _mm256_cmpeq_epi8(printable, shifted));
            none = _mm256_sub_epi8(none, _mm256_cmpeq_epi8(bytes, zero));
        }
    }
    let sum = |bytes: __m256i| {
        let [a, b, c, d] = lanes64(_mm256_sad_epu8(bytes, zero));
        (a + b + c + d) as usize
    };
    much_text(sum(text), BLOCKS / TEXT_STEP * BLOCK_BYTES - sum(none))
}

/// A register's four words of 64 bits.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn lanes64(lanes: __m256i) -> [u64; 4] {
    let mut words = [0; 4];
    // SAFETY: the array has 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), lanes) };
    words
}

/// The words of four places of the sample, as seen from `base`; `places` is the number of the four.
///
/// # Safety
/// They must be valid for reading.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) unsafe fn four_places(base: *const u8, places: usize) -> __m256i {
    // SAFETY: as the caller says.
    let [a, b, c, d] = [0, 1, 2, 3].map(|place| unsafe {
        let at = base.wrapping_add(place_at(4 * places + place));
        at.cast::<i64>().read_unaligned()
    });
    _mm256_set_epi64x(d, c, b, a)
}

/// [`choose::stride`](super::super::choose::stride).
#[inline(never)]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) fn stride(page: &Page) -> (usize, usize) {
    let base = page.as_ptr();
    let mut words = [_mm256_setzero_si256(); PLACES / 4];
    for (words, places) in words.iter_mut().zip(0..) {
        // SAFETY: the sample lies in the page.
        *words = unsafe { four_places(base, places) };
    }
    let mut best = (2, 0);
    for stride in strides() {
        // Each half of the sample that is equal counts -1 in one of sixteen sums.
        let mut sums = _mm256_setzero_si256();
        for (words, places) in words.iter().zip(0..) {
            // SAFETY: all strides lead from the sample to words of the page.
            let references = unsafe { four_places(base.sub(4 * stride), places) };
            sums = _mm256_add_epi16(sums, _mm256_cmpeq_epi16(*words, references));
        }
        let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(-1));
        let sums = _mm_add_epi32(
            _mm256_castsi256_si128(sums),
            _mm256_extracti128_si256::<1>(sums),
        );
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b10_11_00_01>(sums));
        let equal = _mm_cvtsi128_si32(sums);
        if equal > best.1 {
            best = (stride, equal);
        }
    }
    (best.0, best.1 as usize)
}
