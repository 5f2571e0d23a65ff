//! The portable encoder and decoder; the vector paths write and read the same bytes.
//!
//! Both take a group of 64 words at a time: sets of words are numbers of 64 bits, and what a
//! set chooses is handled bit by bit, so that words that a stream has nothing of cost nothing.

use core::slice;

use super::choose::VECTORS;
use super::classes::{Classes, Facts};
use super::far::Far;
use super::format::{Chunk, Counts, Parts};
use super::narrow;
use super::sizes::{GROUP_WORDS, GROUPS, LANES, MAX_STRIDE, STREAM_ROOM, WORDS};
use crate::page::Page;

/// The words of a group.
type Group = [[u8; 4]; GROUP_WORDS];

/// Fills the streams and planes of a page, its words at the balanced level with `far`.
#[inline(never)]
pub(super) fn encode(page: &Page, stride: usize, far: Option<&mut Far>, parts: &mut Parts) {
    let words = page.as_chunks::<4>().0;
    let stride = stride.clamp(1, MAX_STRIDE);
    const { assert!(MAX_STRIDE <= GROUP_WORDS) };
    // The references of the first group: as many zeros as the stride, then words.
    let mut first = [[0; 4]; GROUP_WORDS];
    first[stride..].copy_from_slice(&words[..GROUP_WORDS - stride]);
    let references = |group: usize| match group {
        0 => &first,
        _ => group_at(words, group * GROUP_WORDS - stride),
    };
    parts.fill(
        far,
        |group| {
            let (words, references) = (group_at(words, group * GROUP_WORDS), references(group));
            if VECTORS {
                facts(words, references)
            } else {
                narrow::facts(words, references)
            }
        },
        |far, group, sought| far.look_up::<true>(page, group, sought),
        |parts, far, group, classes| {
            append(parts, far, page, group, classes);
        },
    );
}

/// The group that starts at a word.
#[inline(always)]
fn group_at(words: &[[u8; 4]], at: usize) -> &Group {
    let group = words.get(at..).and_then(<[_]>::first_chunk);
    group.unwrap_or(&[[0; 4]; GROUP_WORDS])
}

/// What is true of words and their references.
#[inline(always)]
fn facts(words: &Group, references: &Group) -> Facts {
    let value = |word: usize| u32::from_le_bytes(words[word]);
    let differ = |word: usize| value(word) ^ u32::from_le_bytes(references[word]);
    Facts {
        some: set(|word| differ(word) != 0),
        over_8: set(|word| differ(word) >> 8 != 0),
        over_16: set(|word| differ(word) >> 16 != 0),
        zero: set(|word| value(word) == 0),
        small: set(|word| value(word) >> 8 == 0),
    }
}

/// The words of a group of which something is true.
#[inline(always)]
fn set(is: impl Fn(usize) -> bool) -> u64 {
    let mut flags = [0; GROUP_WORDS];
    for (word, flag) in flags.iter_mut().enumerate() {
        *flag = u8::from(is(word)).wrapping_neg();
    }
    let mut set = 0;
    for (i, sixteen) in flags.as_chunks::<16>().0.iter().enumerate() {
        set |= bits(sixteen) << (16 * i);
    }
    set
}

/// A bit for each byte, which is 0 or 255.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
fn bits(flags: &[u8; 16]) -> u64 {
    use core::arch::x86_64::{_mm_loadu_si128, _mm_movemask_epi8};
    // SAFETY: the build target has SSE2; the array has 16 bytes, and the load needs no alignment.
    unsafe { _mm_movemask_epi8(_mm_loadu_si128(flags.as_ptr().cast())) as u64 }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline(always)]
fn bits(flags: &[u8; 16]) -> u64 {
    bits_by_product(flags)
}

/// [`bits`] for processors without an instruction for it.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
#[inline(always)]
fn bits_by_product(flags: &[u8; 16]) -> u64 {
    let bits = |eight: u64| {
        let flags = eight & 0x0101_0101_0101_0101;
        // The product's top byte has bit k from byte k, and no two addends meet in one bit.
        flags.wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    let all = u128::from_le_bytes(*flags);
    bits(all as u64) | bits((all >> 64) as u64) << 8
}

/// Appends a group's words, halves and bytes to the streams, behind those that are counted, and
/// counts them.
#[inline(always)]
fn append(parts: &mut Parts, far: Option<&Far>, page: &Page, group: usize, classes: Classes) {
    let words = group_at(page.as_chunks::<4>().0, group * GROUP_WORDS);
    let Counts {
        words: w,
        halves: h,
        bytes: b,
    } = &mut parts.counts;
    put(&mut parts.words, w, classes.words(), |word| words[word]);
    // Some items are numbers of far words.
    let number = |set: u64, word: usize| {
        let far = far.filter(|_| set >> word & 1 != 0)?;
        Some(far.back(group, word) as u8)
    };
    put(&mut parts.halves, h, classes.halves(), |word| {
        let [low, high, ..] = words[word];
        [low, number(classes.far_high(), word).unwrap_or(high)]
    });
    put(&mut parts.bytes, b, classes.bytes(), |word| {
        [number(classes.far(), word).unwrap_or(words[word][0])]
    });
}

/// Puts the items of a set into a stream after the first `count`, and counts them.
#[inline(always)]
fn put<const N: usize>(
    stream: &mut [u8],
    count: &mut usize,
    mut set: u64,
    item: impl Fn(usize) -> [u8; N],
) {
    let room = stream.as_chunks_mut::<N>().0.get_mut(*count..);
    if let Some(room) = room.and_then(<[_]>::first_chunk_mut::<GROUP_WORDS>) {
        let mut n = 0;
        while set != 0 {
            let item = item(set.trailing_zeros() as usize % GROUP_WORDS);
            // SAFETY: there is one for each bit of the set.
            unsafe { *room.get_unchecked_mut(n) = item };
            set &= set - 1;
            n += 1;
        }
        *count += n;
    }
}

/// Two words, the first in the low half.
type Pair = u64;

/// Pairs in a group.
const GROUP_PAIRS: usize = GROUP_WORDS / 2;

/// As many pairs of zeros as the longest stride, and the page.
type Room = [[u8; 8]; STREAM_ROOM / 8];

const _: () = assert!(STREAM_ROOM == 4 * (MAX_STRIDE + WORDS));

/// What a pair of words keeps of its references, by two bits of the first plane and two of
/// the second.
static KEEP: [Pair; 16] = {
    let masks: [u64; 4] = [0xffff_ffff, 0xffff_ff00, 0xffff_0000, 0];
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let first = masks[i & 1 | (i >> 2 & 1) << 1];
        let second = masks[i >> 1 & 1 | (i >> 3 & 1) << 1];
        table[i] = first | second << 32;
        i += 1;
    }
    table
};

/// Restores the page of a chunk of words; `None` if it is corrupt. `room` is scratch memory.
#[inline(never)]
pub(super) fn decode(chunk: &[u8], room: &mut [u8; STREAM_ROOM], page: &mut Page) -> Option<()> {
    let mut third = [0; WORDS / 8];
    let chunk = &Chunk::parse(chunk, &mut third)?;
    match chunk.stride {
        ..4 => near(chunk, room, page),
        4..8 => patch::<4>(chunk, page),
        8..16 => patch::<8>(chunk, page),
        _ => patch::<16>(chunk, page),
    }
}

/// Restores a page whose stride is `UNIT` or more: as many words at a time are copied from their
/// references, and then get the items that the streams have for them.
#[inline(always)]
fn patch<const UNIT: usize>(chunk: &Chunk<'_>, page: &mut Page) -> Option<()> {
    let mut streams = Streams::of(chunk)?;
    let words = page.as_chunks_mut::<4>().0;
    for group in 0..GROUPS {
        let mut classes = chunk.classes(group);
        for part in 0..GROUP_WORDS / UNIT {
            let first = group * GROUP_WORDS + part * UNIT;
            let (before, unit) = words.split_at_mut_checked(first)?;
            let unit: &mut [[u8; 4]; UNIT] = unit.first_chunk_mut()?;
            match first.checked_sub(chunk.stride) {
                Some(at) => {
                    let references: &[[u8; 4]; UNIT] = before.get(at..)?.first_chunk()?;
                    copy_pairs(references, unit);
                }
                // Some references are before the page.
                None => {
                    for (word, lane) in unit.iter_mut().zip(first..) {
                        let at = lane.checked_sub(chunk.stride);
                        *word = at.map_or(Some([0; 4]), |at| before.get(at).copied())?;
                    }
                }
            }
            // Far words lie before the block.
            let before = before.get(..first / LANES * LANES)?;
            streams.give(unit, classes, before)?;
            classes = Classes {
                p0: classes.p0 >> UNIT,
                p1: classes.p1 >> UNIT,
                p2: classes.p2 >> UNIT,
            };
        }
    }
    Some(())
}

/// Copies words, two at a time.
#[inline(always)]
fn copy_pairs<const UNIT: usize>(from: &[[u8; 4]; UNIT], to: &mut [[u8; 4]; UNIT]) {
    let from = from.as_flattened().as_chunks::<8>().0;
    let to = to.as_flattened_mut().as_chunks_mut::<8>().0;
    for (from, to) in from.iter().zip(to) {
        *to = *from;
    }
}

/// What of the streams was not yet read.
struct Streams<'a> {
    words: slice::Iter<'a, [u8; 4]>,
    halves: slice::Iter<'a, [u8; 2]>,
    bytes: slice::Iter<'a, u8>,
}

impl<'a> Streams<'a> {
    #[inline(always)]
    fn of(chunk: &Chunk<'a>) -> Option<Self> {
        let (words, rest) = chunk.streams.split_at_checked(4 * chunk.counts.words)?;
        let (halves, bytes) = rest.split_at_checked(2 * chunk.counts.halves)?;
        Some(Streams {
            words: words.as_chunks().0.iter(),
            halves: halves.as_chunks().0.iter(),
            bytes: bytes.iter(),
        })
    }

    /// Gives words, which have the values of their references, what the streams have for them.
    /// `before` is what is before their block; `None` if a far word is before that.
    #[inline(always)]
    fn give<const UNIT: usize>(
        &mut self,
        unit: &mut [[u8; 4]; UNIT],
        classes: Classes,
        before: &[[u8; 4]],
    ) -> Option<()> {
        let of_unit = |set: u64| set & (!0 >> (64 - UNIT));
        let far = |number: u8| {
            let at = before.len().checked_sub(1 + usize::from(number))?;
            before.get(at).copied()
        };
        let mut set = of_unit(classes.words());
        while set != 0 {
            let lane = set.trailing_zeros() as usize % UNIT;
            unit[lane] = *self.words.next()?;
            set &= set - 1;
        }
        let mut set = of_unit(classes.halves());
        while set != 0 {
            let lane = set.trailing_zeros() as usize % UNIT;
            let [low, high] = *self.halves.next()?;
            if classes.p2 >> lane & 1 == 0 {
                unit[lane][..2].copy_from_slice(&[low, high]);
            } else {
                let [_, rest @ ..] = far(high)?;
                unit[lane] = [low, rest[0], rest[1], rest[2]];
            }
            set &= set - 1;
        }
        let mut set = of_unit(classes.bytes());
        while set != 0 {
            let lane = set.trailing_zeros() as usize % UNIT;
            let byte = *self.bytes.next()?;
            if classes.p2 >> lane & 1 == 0 {
                unit[lane][0] = byte;
            } else if classes.p1 >> lane & 1 == 0 {
                unit[lane] = far(byte)?;
            } else {
                unit[lane] = [byte, 0, 0, 0];
            }
            set &= set - 1;
        }
        let mut set = of_unit(classes.p2 & !(classes.p0 | classes.p1));
        while set != 0 {
            unit[set.trailing_zeros() as usize % UNIT] = [0; 4];
            set &= set - 1;
        }
        Some(())
    }
}

/// Restores a page whose stride is less than 4, where words would be read as soon as they are
/// written, in other parts.
///
/// First the items of the streams go to their places in a page of zeros; then each word gets
/// what it keeps of its reference. `room` is scratch memory.
#[inline(always)]
fn near(chunk: &Chunk<'_>, room: &mut [u8; STREAM_ROOM], page: &mut Page) -> Option<()> {
    room.fill(0);
    let room: &mut Room = room.as_chunks_mut().0.first_chunk_mut()?;
    scatter(chunk, room)?;
    match chunk.stride {
        1 => combine(chunk, room, Last(0))?,
        2 => combine(chunk, room, Pairwise(0))?,
        _ => combine(chunk, room, PairAndWord([0; 2]))?,
    }
    let restored = room[MAX_STRIDE / 2..].as_flattened();
    page.copy_from_slice(restored);
    Some(())
}

/// Puts the items of the streams to their places; `None` if they are not as many as the
/// counts say.
#[inline(always)]
fn scatter(chunk: &Chunk<'_>, room: &mut Room) -> Option<()> {
    let (words, rest) = chunk.streams.split_at_checked(4 * chunk.counts.words)?;
    let (halves, bytes) = rest.split_at_checked(2 * chunk.counts.halves)?;
    let mut words = words.as_chunks::<4>().0;
    let mut halves = halves.as_chunks::<2>().0;
    let mut bytes = bytes.as_chunks::<1>().0;
    let page = room[MAX_STRIDE / 2..].as_flattened_mut();
    let groups = page.as_chunks_mut::<{ 4 * GROUP_WORDS }>().0;
    for (group, to) in groups.iter_mut().enumerate() {
        let classes = chunk.classes(group);
        take(&mut words, classes.words(), to)?;
        take(&mut halves, classes.halves(), to)?;
        take(&mut bytes, classes.bytes(), to)?;
    }
    Some(())
}

/// Takes the items of a set from a stream to the low bytes of their words.
#[inline(always)]
fn take<const N: usize>(
    stream: &mut &[[u8; N]],
    mut set: u64,
    to: &mut [u8; 4 * GROUP_WORDS],
) -> Option<()> {
    for item in stream.split_off(..set.count_ones() as usize)? {
        let word = set.trailing_zeros() as usize % GROUP_WORDS;
        if let Some(place) = to[4 * word..].first_chunk_mut() {
            *place = *item;
        }
        set &= set.wrapping_sub(1);
    }
    Some(())
}

/// Finds references, pair after pair, of what was restored last and stays in registers.
trait References {
    /// The references of the next pair.
    fn next(&self) -> Pair;

    /// Whether words refer to words of their own pair.
    const WITHIN: bool = false;

    /// Notes a pair that is restored.
    fn restored(&mut self, pair: Pair);
}

/// The stride is 1.
struct Last(u64);

impl References for Last {
    const WITHIN: bool = true;

    #[inline(always)]
    fn next(&self) -> Pair {
        self.0
    }

    #[inline(always)]
    fn restored(&mut self, pair: Pair) {
        self.0 = pair >> 32;
    }
}

/// The stride is 2.
struct Pairwise(Pair);

impl References for Pairwise {
    #[inline(always)]
    fn next(&self) -> Pair {
        self.0
    }

    #[inline(always)]
    fn restored(&mut self, pair: Pair) {
        self.0 = pair;
    }
}

/// The stride is 3.
struct PairAndWord([Pair; 2]);

impl References for PairAndWord {
    #[inline(always)]
    fn next(&self) -> Pair {
        let [earlier, later] = self.0;
        earlier >> 32 | later << 32
    }

    #[inline(always)]
    fn restored(&mut self, pair: Pair) {
        self.0 = [self.0[1], pair];
    }
}

/// Adds to each word what it keeps of its reference; `None` if a far word lies before the
/// page.
#[inline(always)]
fn combine<R: References>(chunk: &Chunk<'_>, room: &mut Room, mut references: R) -> Option<()> {
    for group in 0..GROUPS {
        let classes = chunk.classes(group);
        // Words with a bit in the third plane keep nothing, like those of class L.
        let (mut p0, mut p1) = (classes.p0 | classes.p2, classes.p1 | classes.p2);
        let mut far = classes.p2 & (classes.p0 ^ classes.p1);
        let mut pair = group * GROUP_PAIRS;
        for block in 0..GROUP_WORDS / LANES {
            if far as u16 != 0 {
                far_words(room, pair, far as u16, classes.p0 >> (block * LANES))?;
            }
            far >>= LANES;
            for _ in 0..LANES / 2 {
                let keep = KEEP[(p0 & 3 | (p1 & 3) << 2) as usize];
                (p0, p1) = (p0 >> 2, p1 >> 2);
                let mut new = u64::from_le_bytes(room[pair + MAX_STRIDE / 2]);
                new |= references.next() & keep;
                if R::WITHIN {
                    new |= (new << 32) & keep;
                }
                references.restored(new);
                room[pair + MAX_STRIDE / 2] = new.to_le_bytes();
                pair += 1;
            }
        }
    }
    Some(())
}

/// Puts the far words of a block in the places of their numbers: `set` has a bit for each word
/// of class F or P, and `p0` is the block's first plane.
#[inline(always)]
fn far_words(room: &mut Room, pair: usize, mut set: u16, p0: u64) -> Option<()> {
    let words = room.as_flattened_mut().as_chunks_mut::<4>().0;
    let first = MAX_STRIDE + 2 * pair;
    while set != 0 {
        let lane = set.trailing_zeros() as usize;
        set &= set - 1;
        let word = u32::from_le_bytes(words[first + lane]);
        let high = p0 >> lane & 1 == 0;
        let back = if high { word >> 8 } else { word } as usize;
        let at = first.checked_sub(1 + back).filter(|at| *at >= MAX_STRIDE)?;
        let far = u32::from_le_bytes(words[at]);
        let new = if high { far & !0xff | word & 0xff } else { far };
        words[first + lane] = new.to_le_bytes();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::made_pages;

    #[test]
    fn flags_become_bits() {
        for set in (0..=u16::MAX).step_by(7).chain([u16::MAX]) {
            let flags = core::array::from_fn(|i| ((set >> i & 1) as u8).wrapping_neg());
            assert_eq!(bits(&flags), u64::from(set));
            assert_eq!(bits_by_product(&flags), u64::from(set));
        }
    }

    #[test]
    fn facts_are_the_same_with_and_without_vectors() {
        for (name, page) in made_pages() {
            let words = page.as_chunks::<4>().0;
            for stride in [1, 3, 64] {
                let (words, references) = (group_at(words, 64), group_at(words, 64 - stride));
                let wide = facts(words, references);
                let narrow = narrow::facts(words, references);
                let sets = |facts: Facts| {
                    let Facts {
                        some,
                        over_8,
                        over_16,
                        zero,
                        small,
                    } = facts;
                    [some, over_8, over_16, zero & over_8, small & over_8]
                };
                assert_eq!(sets(wide), sets(narrow), "{name}, stride {stride}");
            }
        }
    }
}
