//! A page's words from their classes and streams.
//!
//! What is done for each half of a block is in functions that are always inlined, which those with
//! the target features are not allowed to be: so they are unsafe instead.

use core::arch::x86_64::*;

use super::super::format::{Chunk, Parts};
use super::super::sizes::{BLOCKS, GROUPS, LANES, MAX_STRIDE, Plane, WORDS};
use super::super::streams::Ends;
use super::{HALF, ones};
use crate::page::{PAGE_SIZE, Page};

/// For each set of lanes, the number of lanes of the set before each lane of the set, and -1 for each
/// other lane. Whole lanes: extending bytes would take longer than all that is done with a row.
static UNPACK: [[[u8; 4]; HALF]; 256] = {
    let mut table = [[[0xff; 4]; HALF]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < HALF {
            if set >> lane & 1 == 1 {
                table[set][lane] = [n, 0, 0, 0];
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

/// A row of [`UNPACK`].
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn row(lanes: u8) -> __m256i {
    // SAFETY: as the caller says; a row has 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(UNPACK[usize::from(lanes)].as_ptr().cast()) }
}

/// `there` in the lanes of the set that `row` is of, `elsewhere` in the others.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn select(row: __m256i, there: __m256i, elsewhere: __m256i) -> __m256i {
    // SAFETY: as the caller says.
    unsafe {
        // The sign of each lane decides.
        _mm256_castps_si256(_mm256_blendv_ps(
            _mm256_castsi256_ps(there),
            _mm256_castsi256_ps(elsewhere),
            _mm256_castsi256_ps(row),
        ))
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn numbers() -> __m256i {
    _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
}

/// Of each half of a block of a page, the lanes that have something: in the streams a word, a half,
/// a byte; a far word by a byte, one by a half; a bit in the third plane.
type Sets = [Plane; 6];

/// Fills all but the last of the sets, which is the third plane of the chunk.
#[inline(always)]
fn fill_sets(chunk: &Chunk<'_>, sets: &mut [Plane; 5]) {
    for group in 0..GROUPS {
        let classes = chunk.classes(group);
        let of_group = [
            classes.words(),
            classes.halves(),
            classes.bytes(),
            classes.far(),
            classes.far_high(),
        ];
        for (plane, set) in sets.iter_mut().zip(of_group) {
            plane.as_chunks_mut::<8>().0[group] = set.to_le_bytes();
        }
    }
}

/// What half a block has in the streams, each item in its lane; what the other lanes hold is
/// undefined. With each kind of items the row of its lanes.
struct Items {
    words: [__m256i; 2],
    halves: [__m256i; 2],
    bytes: [__m256i; 2],
}

/// A chunk that is decoded.
struct Decoder<'a> {
    sets: &'a Sets,
    ends: Ends,
    /// Lanes of any block that refer to a word before the page have their sign set.
    bad: __m256i,
}

impl Decoder<'_> {
    /// Reads what a half of a block has in the streams.
    ///
    /// # Safety
    /// The processor must have AVX2 and POPCNT. Half after half must be read of the chunk whose
    /// streams these are, and no more than it has.
    #[inline(always)]
    unsafe fn items(&mut self, half: usize) -> Items {
        let [words, halves, bytes] = [0, 1, 2].map(|kind| self.sets[kind][half]);
        // SAFETY: the counts of the chunk are those of its planes, so the items of this half
        // are in the streams; and behind them there is room for a vector.
        unsafe {
            let item = |items, lanes| {
                let row = row(lanes);
                [_mm256_permutevar8x32_epi32(items, row), row]
            };
            let w = _mm256_loadu_si256(self.ends.words.cast());
            let h = _mm256_cvtepu16_epi32(_mm_loadu_si128(self.ends.halves.cast()));
            let b = _mm256_cvtepu8_epi32(_mm_loadl_epi64(self.ends.bytes.cast()));
            self.ends.advance([words, halves, bytes]);
            Items {
                words: item(w, words),
                halves: item(h, halves),
                bytes: item(b, bytes),
            }
        }
    }

    /// The words of a half that have a bit in the third plane, and the row of their lanes; `None`
    /// if there are none.
    ///
    /// # Safety
    /// The processor must have AVX2. All blocks before this half's must be in `page`.
    #[inline(always)]
    unsafe fn third(
        &mut self,
        items: &Items,
        half: usize,
        page: &Page,
    ) -> Option<(__m256i, __m256i)> {
        let third = self.sets[5][half];
        if third == 0 {
            return None;
        }
        let (far, far_high) = (self.sets[3][half], self.sets[4][half]);
        let ([halves, _], [bytes, with_byte]) = (items.halves, items.bytes);
        // SAFETY: as the caller says.
        unsafe {
            let mut words = select(with_byte, bytes, _mm256_setzero_si256());
            if far | far_high != 0 {
                let (far_row, high_row) = (row(far), row(far_high));
                let back = select(high_row, _mm256_srli_epi32::<8>(halves), bytes);
                let last = (half / 2 * LANES) as i32 - 1;
                let at = _mm256_sub_epi32(_mm256_set1_epi32(last), back);
                let neither = _mm256_and_si256(far_row, high_row);
                self.bad = _mm256_or_si256(self.bad, _mm256_andnot_si256(neither, at));
                let fars = gathered(page, at, far | far_high);
                words = select(far_row, fars, words);
                let mixed = _mm256_blendv_epi8(fars, halves, _mm256_set1_epi32(0xff));
                words = select(high_row, mixed, words);
            }
            Some((words, row(third)))
        }
    }

    /// The words of a half with these references.
    ///
    /// # Safety
    /// As for [`Decoder::items`] and [`Decoder::third`].
    #[inline(always)]
    unsafe fn words(&mut self, half: usize, references: __m256i, page: &Page) -> __m256i {
        // SAFETY: as the caller says.
        unsafe {
            let items = self.items(half);
            let ([w, w_row], [h, h_row], [b, b_row]) = (items.words, items.halves, items.bytes);
            let near = _mm256_blendv_epi8(references, b, _mm256_set1_epi32(0xff));
            let words = select(b_row, near, references);
            let high = _mm256_blend_epi16::<0b0101_0101>(words, h);
            let words = select(h_row, high, words);
            let words = select(w_row, w, words);
            match self.third(&items, half, page) {
                Some((third, row)) => select(row, third, words),
                None => words,
            }
        }
    }

    /// What the words of a half keep of their references, and the bits that they add.
    ///
    /// # Safety
    /// As for [`Decoder::items`] and [`Decoder::third`].
    #[inline(always)]
    unsafe fn change(&mut self, half: usize, page: &Page) -> [__m256i; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let none = _mm256_setzero_si256();
            let items = self.items(half);
            let ([w, w_row], [h, h_row], [b, b_row]) = (items.words, items.halves, items.bytes);
            let keep = select(b_row, _mm256_set1_epi32(!0xff), _mm256_set1_epi32(!0));
            let keep = select(h_row, _mm256_set1_epi32(!0xffff), keep);
            let keep = select(w_row, none, keep);
            let add = select(b_row, b, none);
            let add = select(h_row, h, add);
            let add = select(w_row, w, add);
            match self.third(&items, half, page) {
                Some((third, row)) => [select(row, none, keep), select(row, third, add)],
                None => [keep, add],
            }
        }
    }
}

/// The words of a page at `places`, their numbers modulo a page's, for the lanes of a set, which
/// is not empty; what the others hold is undefined.
///
/// One by one: `vpgatherdd` is slow if processors are protected from each other's data in it
/// (Intel, CVE-2022-40982), and wrong in QEMU 7.2 if the numbers are in registers 8 to 15.
///
/// # Safety
/// The processor must have AVX2 and BMI 1.
#[inline(always)]
unsafe fn gathered(page: &Page, places: __m256i, lanes: u8) -> __m256i {
    let of_page = page.as_chunks::<4>().0;
    let (mut at, mut words) = ([0_u32; HALF], [[0; 4]; HALF]);
    // SAFETY: the arrays have 32 bytes each.
    unsafe {
        _mm256_storeu_si256(at.as_mut_ptr().cast(), places);
        let mut set = u32::from(lanes);
        loop {
            let lane = set.trailing_zeros() as usize % HALF;
            set &= set.wrapping_sub(1);
            words[lane] = of_page[at[lane] as usize % WORDS];
            if set == 0 {
                break;
            }
        }
        _mm256_loadu_si256(words.as_ptr().cast())
    }
}

/// [`scalar::decode`](super::super::scalar::decode). `parts` is only memory.
#[inline(never)]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) fn decode(
    chunk: &[u8],
    parts: &mut Parts,
    page: &mut Page,
) -> Option<()> {
    let sets: &mut Sets = parts.bytes.as_chunks_mut().0.first_chunk_mut()?;
    let [of_classes @ .., third] = sets;
    third.fill(0);
    let chunk = &Chunk::parse(chunk, third)?;
    fill_sets(chunk, of_classes);
    let stride = chunk.stride;
    let decoder = Decoder {
        ends: Ends::of_chunk(chunk, &mut parts.words)?,
        sets,
        bad: _mm256_setzero_si256(),
    };
    // SAFETY: the streams are those of the chunk, with room for a vector behind them, and the
    // processor has what this function asks for.
    let bad = unsafe {
        match stride {
            1 => near::<3>(stride, decoder, page),
            2..=3 => near::<2>(stride, decoder, page),
            4..=7 => near::<1>(stride, decoder, page),
            stride if stride % HALF == 0 => whole(stride / HALF, decoder, page),
            stride => wide(stride, decoder, page),
        }
    };
    (_mm256_movemask_ps(_mm256_castsi256_ps(bad)) == 0).then_some(())
}

/// Reads half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn get(page: &Page, half: usize) -> __m256i {
    let from = &page.as_chunks::<32>().0[half];
    // SAFETY: half a block has 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Writes half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn put(page: &mut Page, half: usize, words: __m256i) {
    let to = &mut page.as_chunks_mut::<32>().0[half];
    // SAFETY: half a block has 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
}

/// Decodes when words refer to words of their own half: the stride is less than 8, and
/// `1 << STEPS` strides are at least 8. See the function of this name for AVX-512.
///
/// # Safety
/// As for [`Decoder::items`], for all of a chunk.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
unsafe fn near<const STEPS: usize>(
    stride: usize,
    mut decoder: Decoder<'_>,
    page: &mut Page,
) -> __m256i {
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
    for half in 0..2 * BLOCKS {
        // SAFETY: as the caller says.
        let [mut keep, mut add] = unsafe { decoder.change(half, page) };
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
    decoder.bad
}

/// The half that is so many halves before one; if that is before the page, one of the page's last
/// [`MAX_STRIDE`] words.
fn before(half: usize, halves: usize) -> usize {
    half.wrapping_sub(halves) % (2 * BLOCKS)
}

/// Makes the last [`MAX_STRIDE`] words of a page the zeros that its first words refer to. The first
/// are decoded when the last are not yet.
fn zero_end(page: &mut Page) {
    page[PAGE_SIZE - 4 * MAX_STRIDE..].fill(0);
}

/// Decodes when the stride is so many whole halves of blocks.
///
/// # Safety
/// As for [`Decoder::items`], for all of a chunk.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
unsafe fn whole(halves: usize, mut decoder: Decoder<'_>, page: &mut Page) -> __m256i {
    zero_end(page);
    for half in 0..2 * BLOCKS {
        let references = get(page, before(half, halves));
        // SAFETY: as the caller says.
        let words = unsafe { decoder.words(half, references, page) };
        put(page, half, words);
    }
    decoder.bad
}

/// Decodes when the stride is 8 or more.
///
/// # Safety
/// As for [`Decoder::items`], for all of a chunk.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
unsafe fn wide(stride: usize, mut decoder: Decoder<'_>, page: &mut Page) -> __m256i {
    let (halves, rest) = (stride / HALF, stride % HALF);
    // The lane that each lane refers to: the first `rest` of the earlier half, the others of
    // the later one.
    let from = _mm256_sub_epi32(numbers(), _mm256_set1_epi32(rest as i32));
    let from_later = ones((!0_u32 << rest) as u8);
    let mut earlier = _mm256_setzero_si256();
    zero_end(page);
    for half in 0..2 * BLOCKS {
        // Whole halves are read as they were written, else the load waits for the store. Only the
        // low three bits of a lane's number count.
        let later = _mm256_permutevar8x32_epi32(get(page, before(half, halves)), from);
        let references = _mm256_blendv_epi8(earlier, later, from_later);
        earlier = later;
        // SAFETY: as the caller says.
        let words = unsafe { decoder.words(half, references, page) };
        put(page, half, words);
    }
    decoder.bad
}
