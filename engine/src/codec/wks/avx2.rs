//! The encoder and decoder for processors with AVX2: half a block in a register.

use core::arch::x86_64::*;

use super::choose::{SAMPLES, sample};
use super::classes::{Classes, Facts, Found};
use super::far::{Far, REACH};
use super::format::{BLOCKS, Chunk, GROUP_WORDS, GROUPS, LANES, MAX_STRIDE, Parts, STREAM_ROOM};
use super::streams::Ends;
use crate::page::Page;

/// Words in a register, half a block.
const HALF: usize = 8;

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

/// For each set of lanes, the number of lanes of the set before each lane of the set, and a number
/// below 0 for each other lane.
static UNPACK: [[u8; HALF]; 256] = {
    let mut table = [[0x80; HALF]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < HALF {
            if set >> lane & 1 == 1 {
                table[set][lane] = n;
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

/// Gives each lane of a set an item, the first one the first, and zeros to the others; and all ones
/// in those others.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn unpack(items: __m256i, lanes: u8) -> [__m256i; 2] {
    let row = i64::from_le_bytes(UNPACK[usize::from(lanes)]);
    let row = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(row));
    let others = _mm256_srai_epi32::<31>(row);
    let items = _mm256_permutevar8x32_epi32(items, row);
    [_mm256_andnot_si256(others, items), others]
}

/// All ones in the lanes of a set.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn ones(lanes: u8) -> __m256i {
    let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let own = _mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), bits);
    _mm256_cmpeq_epi32(own, bits)
}

#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn numbers() -> __m256i {
    _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
}

/// [`choose::is_text`](super::choose::is_text).
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn is_text(page: &Page) -> bool {
    super::choose::is_text(page)
}

/// [`choose::stride`](super::choose::stride).
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn stride(page: &Page) -> (usize, usize) {
    let base = page.as_ptr();
    let mut blocks = [[_mm256_setzero_si256(); 2]; SAMPLES];
    for (block, at) in blocks.iter_mut().zip(sample()) {
        // SAFETY: a block of the sample has 64 bytes from `at` in the page.
        *block = unsafe {
            let at = base.add(at).cast::<__m256i>();
            [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))]
        };
    }
    let mut best = (1, 0);
    for stride in 1..=MAX_STRIDE {
        // Each half of the sample that is equal counts -1 in one of sixteen sums.
        let mut sums = _mm256_setzero_si256();
        for (block, at) in blocks.iter().zip(sample()) {
            // SAFETY: the first block of the sample is the longest stride behind the start.
            let references = unsafe {
                let at = base.add(at - 4 * stride).cast::<__m256i>();
                [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))]
            };
            for (words, references) in block.iter().zip(references) {
                sums = _mm256_add_epi16(sums, _mm256_cmpeq_epi16(*words, references));
            }
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

/// Halves of blocks in a group.
const HALVES: usize = GROUP_WORDS / HALF;

/// [`scalar::encode`](super::scalar::encode).
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn encode(page: &Page, stride: usize, far: Option<&mut Far>, parts: &mut Parts) {
    parts.fill(
        page,
        far,
        |group, all| facts(page, stride, group, all),
        |far, group, sought| found(far, page, group, sought),
        |parts, group, classes| append(parts, page, group, classes),
    );
}

/// What is true of a group's words and their references; what only the balanced level asks for
/// where `all` is true.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn facts(page: &Page, stride: usize, group: usize, all: bool) -> Facts {
    let words = group_of(page, group);
    let references = references_of(page, stride, group);
    let mut differ = words;
    for (differ, references) in differ.iter_mut().zip(references) {
        *differ = _mm256_xor_si256(*differ, references);
    }
    let mut facts = Facts {
        some: !zeros_above::<0>(differ),
        over_8: !zeros_above::<8>(differ),
        over_16: !zeros_above::<16>(differ),
        ..Facts::default()
    };
    if all {
        facts.zero = zeros_above::<0>(words);
        facts.small = zeros_above::<8>(words);
    }
    facts
}

/// [`Far::found`].
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

/// The streams of a chunk that is decoded.
struct Streams {
    ends: Ends,
    /// Lanes of any block that refer to a word before the page.
    bad: __m256i,
}

/// What words keep of their references, and the bits that they add.
type Change = [__m256i; 2];

impl Streams {
    /// Reads what half `half` of a block of a group has in the streams; `block` is its block.
    ///
    /// # Safety
    /// Half after half must be read of a chunk whose streams these are, and no more than it
    /// has. All blocks before this half's must be in `page`.
    #[inline]
    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
    unsafe fn next(&mut self, sets: &Sets, half: usize, block: usize, page: &Page) -> Change {
        let of_half = |set: u64| (set >> (half * HALF)) as u8;
        let [words, halves, bytes] = sets.streams.map(of_half);
        // SAFETY: the counts of the chunk are those of its planes, so the items of this half
        // are in the streams; and behind them there is room for a vector.
        let (w, h, b) = unsafe {
            let w = _mm256_loadu_si256(self.ends.words.cast());
            let h = _mm256_cvtepu16_epi32(_mm_loadu_si128(self.ends.halves.cast()));
            let b = _mm256_cvtepu8_epi32(_mm_loadl_epi64(self.ends.bytes.cast()));
            self.ends.advance([words, halves, bytes]);
            (w, h, b)
        };
        let ([w, no_w], [h, no_h], [b, no_b]) =
            (unpack(w, words), unpack(h, halves), unpack(b, bytes));
        // Words keep all but what they are given.
        let above_8 = _mm256_or_si256(no_b, _mm256_set1_epi32(!0xff));
        let above_16 = _mm256_or_si256(no_h, _mm256_set1_epi32(!0xffff));
        let mut keep = _mm256_and_si256(no_w, _mm256_and_si256(above_8, above_16));
        let mut add = _mm256_or_si256(_mm256_or_si256(w, h), b);
        let third = of_half(sets.classes.p2);
        if third != 0 {
            keep = _mm256_andnot_si256(ones(third), keep);
            let f = ones(of_half(sets.classes.far()));
            let p = ones(of_half(sets.classes.far_high()));
            let back = _mm256_blendv_epi8(b, _mm256_srli_epi32::<8>(h), p);
            let last = (block * LANES) as i32 - 1;
            let at = _mm256_sub_epi32(_mm256_set1_epi32(last), back);
            let far = _mm256_or_si256(f, p);
            let before = _mm256_cmpgt_epi32(_mm256_setzero_si256(), at);
            self.bad = _mm256_or_si256(self.bad, _mm256_and_si256(far, before));
            let read = _mm256_andnot_si256(before, far);
            // SAFETY: the lanes that are read lie between the start of the page and the block.
            let far = unsafe {
                let none = _mm256_setzero_si256();
                _mm256_mask_i32gather_epi32::<4>(none, page.as_ptr().cast(), at, read)
            };
            add = _mm256_blendv_epi8(add, far, f);
            let low = _mm256_set1_epi32(0xff);
            let mixed = _mm256_or_si256(_mm256_andnot_si256(low, far), _mm256_and_si256(low, h));
            add = _mm256_blendv_epi8(add, mixed, p);
        }
        [keep, add]
    }
}

/// [`scalar::decode`](super::scalar::decode). `room` is scratch memory.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) fn decode(chunk: &[u8], room: &mut [u8; STREAM_ROOM], page: &mut Page) -> Option<()> {
    let chunk = &Chunk::parse(chunk)?;
    let mut streams = Streams {
        ends: Ends::of_chunk(chunk, room)?,
        bad: _mm256_setzero_si256(),
    };
    // SAFETY: the streams are those of the chunk, with room for a vector behind them.
    unsafe {
        match chunk.stride {
            1 => near::<3>(chunk, &mut streams, page),
            2..=3 => near::<2>(chunk, &mut streams, page),
            4..=7 => near::<1>(chunk, &mut streams, page),
            _ => wide(chunk, &mut streams, page),
        }
    }
    (_mm256_testz_si256(streams.bad, streams.bad) == 1).then_some(())
}

/// What a group's words have in the streams.
struct Sets {
    /// Those that have a word, a half, a byte.
    streams: [u64; 3],
    classes: Classes,
}

impl Sets {
    #[inline(always)]
    fn of(chunk: &Chunk<'_>, group: usize) -> Self {
        let classes = chunk.classes(group);
        Sets {
            streams: [classes.words(), classes.halves(), classes.bytes()],
            classes,
        }
    }
}

/// Writes half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn put(page: &mut Page, half: usize, words: __m256i) {
    let to = &mut page.as_chunks_mut::<32>().0[half];
    // SAFETY: half a block has 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
}

/// Decodes where words refer to words of their own half: the stride is less than 8, and
/// `1 << STEPS` strides are at least 8. See the function of this name for AVX-512.
///
/// # Safety
/// As for [`Streams::next`], for all of `chunk`.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
unsafe fn near<const STEPS: usize>(chunk: &Chunk<'_>, streams: &mut Streams, page: &mut Page) {
    let stride = chunk.stride;
    let mut steps = [(numbers(), numbers()); STEPS];
    for (k, step) in steps.iter_mut().enumerate() {
        let distance = stride << k;
        let lanes = !0_u32 << distance.min(HALF);
        let from = _mm256_sub_epi32(numbers(), _mm256_set1_epi32(distance as i32));
        *step = (ones(lanes as u8), from);
    }
    // The lane of the half before that each lane comes from in the end.
    let roots: [i32; HALF] = core::array::from_fn(|i| (HALF + i % stride - stride) as i32);
    // SAFETY: the array has 32 bytes.
    let roots = unsafe { _mm256_loadu_si256(roots.as_ptr().cast()) };
    let mut previous = _mm256_setzero_si256();
    let mut sets = Sets::of(chunk, 0);
    for half in 0..2 * BLOCKS {
        if half % HALVES == 0 {
            sets = Sets::of(chunk, half / HALVES);
        }
        // SAFETY: as the caller says.
        let [mut keep, mut add] = unsafe { streams.next(&sets, half % HALVES, half / 2, page) };
        for (lanes, from) in steps {
            let add_before = _mm256_permutevar8x32_epi32(add, from);
            let keep_before = _mm256_permutevar8x32_epi32(keep, from);
            let added = _mm256_and_si256(_mm256_and_si256(add_before, lanes), keep);
            add = _mm256_or_si256(add, added);
            // Lanes without one before keep what they keep.
            keep = _mm256_blendv_epi8(keep, _mm256_and_si256(keep, keep_before), lanes);
        }
        let references = _mm256_permutevar8x32_epi32(previous, roots);
        previous = _mm256_or_si256(add, _mm256_and_si256(references, keep));
        put(page, half, previous);
    }
}

/// Decodes where the stride is 8 or more.
///
/// # Safety
/// As for [`Streams::next`], for all of `chunk`.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
unsafe fn wide(chunk: &Chunk<'_>, streams: &mut Streams, page: &mut Page) {
    let (halves, rest) = (chunk.stride / HALF, chunk.stride % HALF);
    // The lane that each lane refers to: the first `rest` of the earlier half, the others of
    // the later one.
    let from = _mm256_sub_epi32(numbers(), _mm256_set1_epi32(rest as i32));
    let from_later = ones((!0_u32 << rest) as u8);
    let mut earlier = _mm256_setzero_si256();
    let mut sets = Sets::of(chunk, 0);
    for half in 0..2 * BLOCKS {
        let later = match half.checked_sub(halves) {
            // Whole halves are read as they were written, else the load waits for the store.
            Some(later) => {
                let later = &page.as_chunks::<32>().0[later];
                // SAFETY: half a block has 32 bytes.
                let later = unsafe { _mm256_loadu_si256(later.as_ptr().cast()) };
                // Only the low three bits of a lane's number count.
                _mm256_permutevar8x32_epi32(later, from)
            }
            None => _mm256_setzero_si256(),
        };
        let references = _mm256_blendv_epi8(earlier, later, from_later);
        earlier = later;
        if half % HALVES == 0 {
            sets = Sets::of(chunk, half / HALVES);
        }
        // SAFETY: as the caller says.
        let [keep, add] = unsafe { streams.next(&sets, half % HALVES, half / 2, page) };
        put(
            page,
            half,
            _mm256_or_si256(add, _mm256_and_si256(references, keep)),
        );
    }
}
