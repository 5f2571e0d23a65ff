//! The encoder and decoder for processors with AVX2: half a block in a register.

mod choose;
mod decode;
mod encode;

use core::arch::x86_64::*;

use super::sizes::GROUP_WORDS;

#[cfg(feature = "std")]
pub(super) use choose::four_places;
pub(super) use choose::{is_text, stride};
pub(super) use decode::decode;
pub(super) use encode::encode;

/// Words in a register, half a block.
const HALF: usize = 8;

/// Halves of blocks in a group.
const HALVES: usize = GROUP_WORDS / HALF;

/// All ones in the lanes of a set.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn ones(lanes: u8) -> __m256i {
    let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let own = _mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), bits);
    _mm256_cmpeq_epi32(own, bits)
}
