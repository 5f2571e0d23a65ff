//! Classes and streams of a page's words.

use core::arch::x86_64::*;

use super::super::classes::{Classes, Facts, Found};
use super::super::far::{Far, REACH};
use super::super::format::Parts;
use super::super::sizes::{GROUP_WORDS, GROUPS, LANES, MAX_STRIDE};
use super::super::streams::Ends;
use super::{HALF, HALVES, ones};
use crate::page::Page;

/// For each set of lanes their numbers in order; then zeros.
static PACK: [[u8; HALF]; 256] = {
    let mut table = [[0; HALF]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < HALF {
            if set >> lane & 1 == 1 {
                table[set][n] = lane as u8;
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// A row of [`PACK`] as lane numbers.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn pack(lanes: u8) -> __m256i {
    let row = i64::from_le_bytes(PACK[usize::from(lanes)]);
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(row))
}

/// The registers of a group's words.
type Group = [__m256i; HALVES];

/// A group's words.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn group_of(page: &Page, group: usize) -> Group {
    let halves = &page.as_chunks::<32>().0[group * HALVES..][..HALVES];
    let mut words = [_mm256_setzero_si256(); HALVES];
    for (words, half) in words.iter_mut().zip(halves) {
        // SAFETY: half a block has 32 bytes.
        *words = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
    }
    words
}

/// The references of a group's words.
///
/// # Panics
/// If there is no such group.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn references_of(page: &Page, stride: usize, group: usize) -> Group {
    assert!(group < GROUPS && stride <= MAX_STRIDE);
    let start = group * GROUP_WORDS;
    let at = page
        .as_ptr()
        .cast::<i32>()
        .wrapping_add(start)
        .wrapping_sub(stride);
    let mut references = [_mm256_setzero_si256(); HALVES];
    for (half, references) in references.iter_mut().enumerate() {
        let at = at.wrapping_add(half * HALF);
        *references = if group > 0 {
            // SAFETY: a group has as many words as the longest stride, so all references of
            // groups but the first are in the page.
            unsafe { _mm256_loadu_si256(at.cast()) }
        } else {
            // References before the page are zeros.
            let inside = !0_u32 << stride.saturating_sub(half * HALF).min(HALF);
            // SAFETY: the lanes of `inside` have references in the page; the others are not read.
            unsafe { _mm256_maskload_epi32(at, ones(inside as u8)) }
        };
    }
    references
}

/// A bit for each word of a group whose lane is all ones; the others are zero.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn bits(lanes: Group) -> u64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    let bits = |a, b, c, d| {
        let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Packing goes by halves of registers, so fours of words are to be put in order.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)) as u32
    };
    u64::from(bits(a, b, c, d)) | u64::from(bits(e, f, g, h)) << 32
}

/// The words of a group that are zero but for their low `N` bits.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn zeros_above<const N: i32>(mut words: Group) -> u64 {
    for lanes in &mut words {
        let above = _mm256_srli_epi32::<N>(*lanes);
        *lanes = _mm256_cmpeq_epi32(above, _mm256_setzero_si256());
    }
    bits(words)
}

/// [`scalar::encode`](super::super::scalar::encode).
#[inline(never)]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) fn encode(
    page: &Page,
    stride: usize,
    far: Option<&mut Far>,
    parts: &mut Parts,
) {
    parts.fill(
        far,
        |group| facts(page, stride, group),
        |far, group, sought| {
            far.look_up::<false>(page, group, sought);
            found(far, page, group, sought)
        },
        |parts, far, group, classes| {
            append(parts, page, group, classes);
            if let Some(far) = far {
                parts.put_far_numbers(far, group, classes);
            }
            parts.counts.add(classes);
        },
    );
}

/// What is true of a group's words and their references.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn facts(page: &Page, stride: usize, group: usize) -> Facts {
    let words = group_of(page, group);
    let references = references_of(page, stride, group);
    let mut differ = words;
    for (differ, references) in differ.iter_mut().zip(references) {
        *differ = _mm256_xor_si256(*differ, references);
    }
    Facts {
        some: !zeros_above::<0>(differ),
        over_8: !zeros_above::<8>(differ),
        over_16: !zeros_above::<16>(differ),
        zero: zeros_above::<0>(words),
        small: zeros_above::<8>(words),
    }
}

/// What is true of the far words that were looked up.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn found(far: &Far, page: &Page, group: usize, sought: u64) -> Found {
    if sought == 0 {
        return Found::default();
    }
    let words = group_of(page, group);
    let fars = far.words.as_chunks::<HALF>().0;
    let places = far.places.as_chunks::<HALF>().0;
    let first = _mm256_set1_epi32((group * GROUP_WORDS) as i32 - 1);
    let mut differ = [_mm256_setzero_si256(); HALVES];
    for (half, differ) in differ.iter_mut().enumerate() {
        // SAFETY: both arrays have eight items for each half of a block.
        let (fars, places) = unsafe {
            (
                _mm256_loadu_si256(fars[half].as_ptr().cast()),
                _mm_loadu_si128(places[half].as_ptr().cast()),
            )
        };
        let last = _mm256_add_epi32(first, _mm256_set1_epi32((half / 2 * LANES) as i32));
        let back = _mm256_sub_epi32(last, _mm256_cvtepu16_epi32(places));
        // Out of reach, a bit above the low eight is set.
        let back = _mm256_andnot_si256(_mm256_set1_epi32(REACH as i32 - 1), back);
        *differ = _mm256_or_si256(_mm256_xor_si256(words[half], fars), back);
    }
    Found {
        equal: sought & zeros_above::<0>(differ),
        near: sought & zeros_above::<8>(differ),
    }
}

/// Appends a group's words, halves and bytes to the streams, behind those that are counted.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn append(parts: &mut Parts, page: &Page, group: usize, classes: Classes) {
    let mut ends = Ends::of_parts(parts);
    // The sets of halves of blocks.
    let words = classes.words().to_le_bytes();
    let halves = classes.halves().to_le_bytes();
    let bytes = classes.bytes().to_le_bytes();
    for i in 0..HALVES {
        let half = &page.as_chunks::<32>().0[group * HALVES + i];
        let sets = [words[i], halves[i], bytes[i]];
        // SAFETY: half a block has 32 bytes. A stream has room for the items of 64 blocks and
        // for one block more, so a whole vector fits at its end before each of the 128 halves.
        unsafe {
            let all = _mm256_loadu_si256(half.as_ptr().cast());
            let w = _mm256_permutevar8x32_epi32(all, pack(sets[0]));
            let h = _mm256_permutevar8x32_epi32(all, pack(sets[1]));
            let b = _mm256_permutevar8x32_epi32(all, pack(sets[2]));
            // The low halves of all lanes, and the low bytes.
            let h = _mm256_shuffle_epi8(h, _mm256_set1_epi64x(0x0d0c_0908_0504_0100));
            let h = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(h));
            let b = _mm256_shuffle_epi8(b, _mm256_set1_epi32(0x0c08_0400));
            let (low, high) = (_mm256_castsi256_si128(b), _mm256_extracti128_si256::<1>(b));
            _mm256_storeu_si256(ends.words.cast(), w);
            _mm_storeu_si128(ends.halves.cast(), h);
            _mm_storel_epi64(ends.bytes.cast(), _mm_unpacklo_epi32(low, high));
            ends.advance(sets);
        }
    }
}
