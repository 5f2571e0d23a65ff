//! A page's words from their classes and streams.

use core::arch::x86_64::*;

use super::super::classes::Classes;
use super::super::format::{BLOCKS, Chunk, LANES, STREAM_ROOM};
use super::super::streams::Ends;
use super::{HALF, HALVES, ones};
use crate::page::Page;

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

#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn numbers() -> __m256i {
    _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
}

/// The words of a page at `places`, for the lanes of a set; zeros for others, and for those that lie
/// outside of the page.
///
/// One by one: `vpgatherdd` is slow where processors are protected from each other's data in it
/// (Intel, CVE-2022-40982), and wrong in QEMU 7.2 where the numbers are in registers 8 to 15.
#[inline]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
fn gathered(page: &Page, places: __m256i, lanes: u8) -> __m256i {
    let of_page = page.as_chunks::<4>().0;
    let (mut at, mut words) = ([0_u32; HALF], [0_u32; HALF]);
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_storeu_si256(at.as_mut_ptr().cast(), places) };
    let mut set = lanes;
    while set != 0 {
        let lane = set.trailing_zeros() as usize % HALF;
        set &= set - 1;
        let word = of_page.get(at[lane] as usize);
        words[lane] = word.map_or(0, |word| u32::from_le_bytes(*word));
    }
    // SAFETY: as above.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
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
            let far = gathered(page, at, of_half(sets.classes.far() | sets.classes.far_high()));
            add = _mm256_blendv_epi8(add, far, f);
            let low = _mm256_set1_epi32(0xff);
            let mixed = _mm256_or_si256(_mm256_andnot_si256(low, far), _mm256_and_si256(low, h));
            add = _mm256_blendv_epi8(add, mixed, p);
        }
        [keep, add]
    }
}

/// [`scalar::decode`](super::super::scalar::decode). `room` is scratch memory.
#[inline(never)]
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(in crate::codec::wks) fn decode(
    chunk: &[u8],
    room: &mut [u8; STREAM_ROOM],
    page: &mut Page,
) -> Option<()> {
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
