//! The encoder and decoder for processors with AVX-512 (F, BW, VL, VBMI2).

use core::arch::x86_64::*;

use super::avx2::four_places;
use super::classes::{Classes, Facts, Found};
use super::far::{Far, REACH};
use super::format::{Chunk, Parts};
use super::sample::{PLACES, TEXT_STEP, much_text, strides};
use super::sizes::{BLOCKS, GROUP, LANES, Plane, STREAM_ROOM, WORDS};
use super::streams::Ends;
use crate::page::Page;

/// The lanes whose bits from the eighth on are not all zero.
const ABOVE_8: i32 = !0xff;

/// The lanes whose bits from the sixteenth on are not all zero.
const ABOVE_16: i32 = !0xffff;

/// [`choose::is_text`](super::choose::is_text).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
pub(super) fn is_text(page: &Page) -> bool {
    let (mut text, mut some) = (0, 0);
    for block in page.as_chunks::<64>().0.iter().step_by(TEXT_STEP) {
        // SAFETY: a block has 64 bytes; the load needs no alignment.
        let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let shifted = _mm512_sub_epi8(bytes, _mm512_set1_epi8(0x20));
        let printable = _mm512_cmplt_epu8_mask(shifted, _mm512_set1_epi8(0x5f));
        text += printable.count_ones();
        some += _mm512_test_epi8_mask(bytes, bytes).count_ones();
    }
    much_text(text as usize, some as usize)
}

/// [`choose::stride`](super::choose::stride).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
pub(super) fn stride(page: &Page) -> (usize, usize) {
    let base = page.as_ptr();
    let mut words = [_mm256_setzero_si256(); PLACES / 4];
    for (words, places) in words.iter_mut().zip(0..) {
        // SAFETY: the sample lies in the page.
        *words = unsafe { four_places(base, places) };
    }
    let mut best = (2, 0);
    for stride in strides() {
        let mut equal = 0;
        for (words, places) in words.iter().zip(0..) {
            // SAFETY: all strides lead from the sample to words of the page.
            let references = unsafe { four_places(base.sub(4 * stride), places) };
            equal += _mm256_cmpeq_epi16_mask(*words, references).count_ones();
        }
        if equal > best.1 {
            best = (stride, equal);
        }
    }
    (best.0, best.1 as usize)
}

/// The words of a block and their references.
///
/// # Panics
/// If there is no such block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
fn block_of(page: &Page, stride: usize, block: usize) -> [__m512i; 2] {
    assert!(block < BLOCKS);
    let start = block * LANES;
    let at = page.as_ptr().cast::<i32>().wrapping_add(start);
    // References before the page are zeros.
    let inside = !0_u32 << stride.saturating_sub(start).min(LANES);
    // SAFETY: the block lies in the page. The lanes of `inside` have references in the page;
    // the others are not read.
    unsafe {
        [
            _mm512_loadu_si512(at.cast()),
            _mm512_maskz_loadu_epi32(inside as u16, at.wrapping_sub(stride)),
        ]
    }
}

/// [`scalar::encode`](super::scalar::encode).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
pub(super) fn encode(page: &Page, stride: usize, far: Option<&mut Far>, parts: &mut Parts) {
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
fn facts(page: &Page, stride: usize, group: usize) -> Facts {
    let above_8 = _mm512_set1_epi32(ABOVE_8);
    let above_16 = _mm512_set1_epi32(ABOVE_16);
    let mut facts = Facts::default();
    for i in 0..GROUP {
        let [words, references] = block_of(page, stride, group * GROUP + i);
        let differ = _mm512_xor_si512(words, references);
        let put = |set: &mut u64, lanes: u16| *set |= u64::from(lanes) << (i * LANES);
        put(&mut facts.some, _mm512_test_epi32_mask(differ, differ));
        put(&mut facts.over_8, _mm512_test_epi32_mask(differ, above_8));
        put(&mut facts.over_16, _mm512_test_epi32_mask(differ, above_16));
        put(&mut facts.zero, _mm512_testn_epi32_mask(words, words));
        put(&mut facts.small, _mm512_testn_epi32_mask(words, above_8));
    }
    facts
}

/// What is true of the far words that were looked up.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
fn found(far: &Far, page: &Page, group: usize, sought: u64) -> Found {
    let mut found = Found::default();
    if sought == 0 {
        return found;
    }
    let fars = far.words.as_chunks::<LANES>().0;
    let places = far.places.as_chunks::<LANES>().0;
    for i in 0..GROUP {
        let block = group * GROUP + i;
        // SAFETY: both arrays have sixteen items for each block of a group, and the page has 64
        // bytes.
        let (words, fars, places) = unsafe {
            (
                _mm512_loadu_si512(page.as_chunks::<64>().0[block].as_ptr().cast()),
                _mm512_loadu_si512(fars[i].as_ptr().cast()),
                _mm256_loadu_si256(places[i].as_ptr().cast()),
            )
        };
        let last = _mm512_set1_epi32((block * LANES) as i32 - 1);
        let back = _mm512_sub_epi32(last, _mm512_cvtepu16_epi32(places));
        // Out of reach, a bit above the low eight is set.
        let back = _mm512_andnot_si512(_mm512_set1_epi32(REACH as i32 - 1), back);
        let differ = _mm512_or_si512(_mm512_xor_si512(words, fars), back);
        let put = |set: &mut u64, lanes: u16| *set |= u64::from(lanes) << (i * LANES);
        put(&mut found.equal, _mm512_testn_epi32_mask(differ, differ));
        let above_8 = _mm512_set1_epi32(ABOVE_8);
        put(&mut found.near, _mm512_testn_epi32_mask(differ, above_8));
    }
    found.equal &= sought;
    found.near &= sought;
    found
}

/// Appends a group's words, halves and bytes to the streams, behind those that are counted.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
fn append(parts: &mut Parts, page: &Page, group: usize, classes: Classes) {
    let mut ends = Ends::of_parts(parts);
    for i in 0..GROUP {
        let block = &page.as_chunks::<64>().0[group * GROUP + i];
        let of_block = |set: u64| (set >> (i * LANES)) as u16;
        let words = of_block(classes.words());
        let (halves, bytes) = (of_block(classes.halves()), of_block(classes.bytes()));
        // SAFETY: a block has 64 bytes. A stream has room for the items of 64 blocks and for
        // one block more, so a whole vector fits at its end before each of the 64.
        unsafe {
            let all = _mm512_loadu_si512(block.as_ptr().cast());
            let w = _mm512_maskz_compress_epi32(words, all);
            let h = _mm256_maskz_compress_epi16(halves, _mm512_cvtepi32_epi16(all));
            let b = _mm_maskz_compress_epi8(bytes, _mm512_cvtepi32_epi8(all));
            _mm512_storeu_si512(ends.words.cast(), w);
            _mm256_storeu_si256(ends.halves.cast(), h);
            _mm_storeu_si128(ends.bytes.cast(), b);
            ends.advance([words, halves, bytes]);
        }
    }
}

/// The streams of a chunk that is decoded.
struct Streams {
    ends: Ends,
    /// Lanes of any block that refer to a word before the page.
    bad: u16,
}

/// What a block's words keep of their references, and the bits that they add.
type Change = [__m512i; 2];

impl Streams {
    /// Reads what the next block's words have in the streams.
    ///
    /// # Safety
    /// Block after block must be read of a chunk whose streams these are, and no more blocks
    /// than it has. All blocks before must be in `page`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
    unsafe fn next(&mut self, planes: [u16; 3], block: usize, page: &Page) -> Change {
        let [p0, p1, p2] = planes;
        let sets = [p0 & p1 & !p2, p1 & !p0, p0 & (!p1 | p2)];
        let [words, halves, bytes] = sets;
        // SAFETY: the counts of the chunk are those of its planes, so the items of this block
        // are in the streams; and behind them there is room for a vector.
        let (w, h, b) = unsafe {
            let w = _mm512_loadu_si512(self.ends.words.cast());
            let h = _mm256_loadu_si256(self.ends.halves.cast());
            let b = _mm_loadu_si128(self.ends.bytes.cast());
            self.ends.advance(sets);
            (w, h, b)
        };
        let w = _mm512_maskz_expand_epi32(words, w);
        let h = _mm512_cvtepu16_epi32(_mm256_maskz_expand_epi16(halves, h));
        let b = _mm512_cvtepu8_epi32(_mm_maskz_expand_epi8(bytes, b));
        let keep = _mm512_maskz_set1_epi32(!(p0 | p1 | p2), -1);
        let keep = _mm512_mask_mov_epi32(keep, p0 & !p1 & !p2, _mm512_set1_epi32(ABOVE_8));
        let keep = _mm512_mask_mov_epi32(keep, p1 & !p0 & !p2, _mm512_set1_epi32(ABOVE_16));
        let mut add = _mm512_or_si512(_mm512_or_si512(w, h), b);
        let (f, p) = (p2 & p0 & !p1, p2 & p1 & !p0);
        if f | p != 0 {
            let back = _mm512_mask_srli_epi32::<8>(b, p, h);
            let last = (block * LANES) as i32 - 1;
            let at = _mm512_sub_epi32(_mm512_set1_epi32(last), back);
            let inside = _mm512_cmpge_epi32_mask(at, _mm512_setzero_si512());
            self.bad |= (f | p) & !inside;
            let far = gathered(page, at, f | p);
            add = _mm512_mask_mov_epi32(add, f, far);
            let low = _mm512_and_si512(h, _mm512_set1_epi32(0xff));
            let high = _mm512_and_si512(far, _mm512_set1_epi32(ABOVE_8));
            add = _mm512_mask_or_epi32(add, p, high, low);
        }
        [keep, add]
    }
}

/// The words of a page at `places`, their numbers modulo a page's, for the lanes of a set; what the
/// others hold is undefined. One by one: few are asked for, and `vpgatherdd` takes longer.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
fn gathered(page: &Page, places: __m512i, lanes: u16) -> __m512i {
    let of_page = page.as_chunks::<4>().0;
    let (mut at, mut words) = ([0_u32; LANES], [[0; 4]; LANES]);
    // SAFETY: the array has 64 bytes.
    unsafe { _mm512_storeu_si512(at.as_mut_ptr().cast(), places) };
    let mut set = u32::from(lanes);
    while set != 0 {
        let lane = set.trailing_zeros() as usize % LANES;
        set &= set - 1;
        words[lane] = of_page[at[lane] as usize % WORDS];
    }
    // SAFETY: as above.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// [`scalar::decode`](super::scalar::decode). `room` is scratch memory.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
pub(super) fn decode(chunk: &[u8], room: &mut [u8; STREAM_ROOM], page: &mut Page) -> Option<()> {
    let mut third = [0; WORDS / 8];
    let chunk = &Chunk::parse(chunk, &mut third)?;
    let mut streams = Streams {
        ends: Ends::of_chunk(chunk, room)?,
        bad: 0,
    };
    // SAFETY: the streams are those of the chunk, with room for a vector behind them.
    unsafe {
        match chunk.stride {
            1 => near::<4>(chunk, &mut streams, page),
            2..=3 => near::<3>(chunk, &mut streams, page),
            4..=7 => near::<2>(chunk, &mut streams, page),
            8..=15 => near::<1>(chunk, &mut streams, page),
            _ => wide(chunk, &mut streams, page),
        }
    }
    (streams.bad == 0).then_some(())
}

#[inline(always)]
fn planes(chunk: &Chunk<'_>, block: usize) -> [u16; 3] {
    let of = |plane: &Plane| u16::from_le_bytes(plane.as_chunks::<2>().0[block]);
    let [first, second] = chunk.planes;
    [of(first), of(second), of(chunk.third)]
}

/// Writes a block.
#[inline]
#[target_feature(enable = "avx512f")]
fn put(page: &mut Page, block: usize, words: __m512i) {
    let to = &mut page.as_chunks_mut::<64>().0[block];
    // SAFETY: a block has 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) };
}

/// Decodes when words refer to words of their own block: the stride is less than 16, and
/// `1 << STEPS` strides are at least 16.
///
/// Changes are put together, each lane's with that of the lane one stride before, then two
/// strides, four and eight (Hillis and Steele, "Data parallel algorithms", 1986), until every
/// lane's is one of a word of the block before.
///
/// # Safety
/// As for [`Streams::next`], for all blocks of `chunk`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
unsafe fn near<const STEPS: usize>(chunk: &Chunk<'_>, streams: &mut Streams, page: &mut Page) {
    let numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let stride = chunk.stride;
    let mut steps = [(0_u16, numbers); STEPS];
    for (k, step) in steps.iter_mut().enumerate() {
        let distance = stride << k;
        let lanes = !0_u32 << distance.min(LANES);
        let from = _mm512_sub_epi32(numbers, _mm512_set1_epi32(distance as i32));
        *step = (lanes as u16, from);
    }
    // The lane of the block before that each lane comes from in the end.
    let roots: [i32; LANES] = core::array::from_fn(|i| (LANES + i % stride - stride) as i32);
    // SAFETY: the array has 64 bytes.
    let roots = unsafe { _mm512_loadu_si512(roots.as_ptr().cast()) };
    let ones = _mm512_set1_epi32(-1);
    let mut previous = _mm512_setzero_si512();
    for block in 0..BLOCKS {
        // SAFETY: as the caller says.
        let [mut keep, mut add] = unsafe { streams.next(planes(chunk, block), block, page) };
        for (lanes, from) in steps {
            let add_before = _mm512_maskz_permutexvar_epi32(lanes, from, add);
            let keep_before = _mm512_mask_permutexvar_epi32(ones, lanes, from, keep);
            add = _mm512_or_si512(add, _mm512_and_si512(add_before, keep));
            keep = _mm512_and_si512(keep, keep_before);
        }
        let references = _mm512_permutexvar_epi32(roots, previous);
        previous = _mm512_or_si512(add, _mm512_and_si512(references, keep));
        put(page, block, previous);
    }
}

/// Decodes when the stride is 16 or more.
///
/// # Safety
/// As for [`Streams::next`], for all blocks of `chunk`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2")]
unsafe fn wide(chunk: &Chunk<'_>, streams: &mut Streams, page: &mut Page) {
    let numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let (blocks, rest) = (chunk.stride / LANES, chunk.stride % LANES);
    // In two neighbouring blocks, the lane that each lane refers to.
    let from = _mm512_add_epi32(numbers, _mm512_set1_epi32((LANES - rest) as i32));
    let mut earlier = _mm512_setzero_si512();
    for block in 0..BLOCKS {
        let later = match block.checked_sub(blocks) {
            // Whole blocks are read as they were written, else the load waits for the store.
            Some(later) => {
                let later = &page.as_chunks::<64>().0[later];
                // SAFETY: a block has 64 bytes.
                unsafe { _mm512_loadu_si512(later.as_ptr().cast()) }
            }
            None => _mm512_setzero_si512(),
        };
        let references = _mm512_permutex2var_epi32(earlier, from, later);
        earlier = later;
        // SAFETY: as the caller says.
        let [keep, add] = unsafe { streams.next(planes(chunk, block), block, page) };
        put(
            page,
            block,
            _mm512_or_si512(add, _mm512_and_si512(references, keep)),
        );
    }
}
