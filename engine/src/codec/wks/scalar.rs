//! The portable encoder and decoder; the vector paths write and read the same bytes.

use super::format::{BLOCKS, Chunk, Counts, LANES, MAX_STRIDE, Parts, WORDS, planes_of};
use super::{FAR_REACH, Table, place};
use crate::page::Page;

/// The words of a page after as many zeros as the longest stride.
type Padded = [u32; MAX_STRIDE + WORDS];

/// A block as the classes of its words and what each of them may put into a stream.
struct Block {
    words: [u32; LANES],
    halves: [u16; LANES],
    bytes: [u8; LANES],
    p0: u16,
    p1: u16,
    p2: u16,
}

/// Fills the streams and planes of a page.
#[inline(always)]
pub(super) fn encode(page: &Page, stride: usize, far: Option<&mut Table>, parts: &mut Parts) {
    let mut padded: Padded = [0; MAX_STRIDE + WORDS];
    for (word, bytes) in padded[MAX_STRIDE..].iter_mut().zip(page.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let stride = stride.clamp(1, MAX_STRIDE);
    parts.with_third = 0;
    parts.counts = Counts::default();
    match far {
        None => encode_plain(&padded, stride, parts),
        Some(table) => encode_far(&padded, stride, table, parts),
    }
}

/// A block's words and their references.
#[inline(always)]
fn block_of(padded: &Padded, stride: usize, block: usize) -> [&[u32; LANES]; 2] {
    const NONE: &[u32; LANES] = &[0; LANES];
    let at = MAX_STRIDE + block * LANES;
    [at, at - stride].map(|at| {
        let words = padded.get(at..).and_then(|words| words.first_chunk());
        words.unwrap_or(NONE)
    })
}

#[inline(always)]
fn encode_plain(padded: &Padded, stride: usize, parts: &mut Parts) {
    for block in 0..BLOCKS {
        let [words, references] = block_of(padded, stride, block);
        let (mut p0, mut p1) = (0, 0);
        for lane in 0..LANES {
            let differ = words[lane] ^ references[lane];
            let some = u16::from(differ != 0);
            let over_8 = u16::from(differ >> 8 != 0);
            let over_16 = u16::from(differ >> 16 != 0);
            p0 |= (some - over_8 + over_16) << lane;
            p1 |= over_8 << lane;
        }
        let (halves, bytes) = (words.map(|w| w as u16), words.map(|w| w as u8));
        emit(
            parts,
            block,
            &Block {
                words: *words,
                halves,
                bytes,
                p0,
                p1,
                p2: 0,
            },
        );
    }
}

#[inline(always)]
fn encode_far(padded: &Padded, stride: usize, table: &mut Table, parts: &mut Parts) {
    table.fill(0);
    for block in 0..BLOCKS {
        let [words, references] = block_of(padded, stride, block);
        let start = block * LANES;
        let (mut plain, mut other) = ([0; 2], [0; 3]);
        let mut halves = words.map(|w| w as u16);
        let mut bytes = words.map(|w| w as u8);
        for lane in 0..LANES {
            let word = words[lane];
            let differ = word ^ references[lane];
            let class = if differ == 0 {
                0
            } else if differ >> 8 == 0 {
                1
            } else if differ >> 16 == 0 {
                2
            } else {
                3
            };
            let before = table[place(word)] as usize;
            let back = start.wrapping_sub(before + 1);
            let differ = word ^ padded[MAX_STRIDE + before];
            let in_reach = back < FAR_REACH;
            let third = if class < 2 {
                class
            } else if word == 0 {
                4
            } else if word < 256 {
                7
            } else if in_reach && differ == 0 {
                bytes[lane] = back as u8;
                5
            } else if class == 2 {
                2
            } else if in_reach && differ >> 8 == 0 {
                halves[lane] = (word & 0xff) as u16 | (back << 8) as u16;
                6
            } else {
                3
            };
            for (plane, bits) in plain.iter_mut().enumerate() {
                *bits |= (class >> plane & 1) << lane;
            }
            for (plane, bits) in other.iter_mut().enumerate() {
                *bits |= (third >> plane & 1) << lane;
            }
        }
        for (lane, word) in words.iter().enumerate() {
            table[place(*word)] = (start + lane) as u32;
        }
        let [mut p0, mut p1] = plain;
        let [o0, o1, p2] = other;
        let cost = |p0: u16, p1: u16, p2: u16| {
            let mut counts = Counts::default();
            counts.add(u64::from(p0), u64::from(p1), u64::from(p2));
            counts.stream_len()
        };
        let with_third = cost(o0, o1, p2) + 2 < cost(p0, p1, 0);
        if with_third {
            (p0, p1) = (o0, o1);
        } else {
            halves = words.map(|w| w as u16);
            bytes = words.map(|w| w as u8);
        }
        let p2 = if with_third { p2 } else { 0 };
        let at = 2 * parts.with_third.count_ones() as usize;
        if let Some(out) = parts.thirds.get_mut(at..at + 2) {
            out.copy_from_slice(&p2.to_le_bytes());
        }
        parts.with_third |= u64::from(with_third) << block;
        emit(
            parts,
            block,
            &Block {
                words: *words,
                halves,
                bytes,
                p0,
                p1,
                p2,
            },
        );
    }
}

/// Writes a block's first two planes, and appends to the streams.
#[inline(always)]
fn emit(parts: &mut Parts, block: usize, from: &Block) {
    let (p0, p1, p2) = (from.p0, from.p1, from.p2);
    let [a, b] = p0.to_le_bytes();
    let [c, d] = p1.to_le_bytes();
    parts.planes.as_chunks_mut::<4>().0[block] = [a, b, c, d];
    let (is_word, is_half, is_byte) = (p0 & p1 & !p2, p1 & !p0, p0 & (!p1 | p2));
    let counts = &mut parts.counts;
    let words = &mut parts.words.as_chunks_mut::<4>().0;
    let halves = &mut parts.halves.as_chunks_mut::<2>().0;
    if let Some(words) = words
        .get_mut(counts.words..)
        .and_then(<[_]>::first_chunk_mut::<LANES>)
        && let Some(halves) = halves
            .get_mut(counts.halves..)
            .and_then(<[_]>::first_chunk_mut::<LANES>)
        && let Some(bytes) = parts
            .bytes
            .get_mut(counts.bytes..)
            .and_then(<[_]>::first_chunk_mut::<LANES>)
    {
        let (mut w, mut h, mut b) = (0, 0, 0);
        for lane in 0..LANES {
            // At most as many as lanes were looked at, so the masks change nothing.
            words[w % LANES] = from.words[lane].to_le_bytes();
            halves[h % LANES] = from.halves[lane].to_le_bytes();
            bytes[b % LANES] = from.bytes[lane];
            w += usize::from(is_word >> lane & 1);
            h += usize::from(is_half >> lane & 1);
            b += usize::from(is_byte >> lane & 1);
        }
        counts.words += w;
        counts.halves += h;
        counts.bytes += b;
    }
}

/// The next item of a stream if `wanted`, which is 1 or 0, and otherwise anything.
#[inline(always)]
fn next<const N: usize>(stream: &[[u8; N]], at: &mut usize, wanted: u16) -> [u8; N] {
    let item = stream.get(*at).copied().unwrap_or([0; N]);
    *at += usize::from(wanted);
    item
}

/// Restores a page; `None` where a word refers to one before the page.
pub(super) fn decode(chunk: &Chunk<'_>, page: &mut Page) -> Option<()> {
    let (words, rest) = chunk.streams.split_at_checked(4 * chunk.counts.words)?;
    let (halves, bytes) = rest.split_at_checked(2 * chunk.counts.halves)?;
    let (words, halves, bytes) = (
        words.as_chunks::<4>().0,
        halves.as_chunks::<2>().0,
        bytes.as_chunks::<1>().0,
    );
    let mut padded: Padded = [0; MAX_STRIDE + WORDS];
    let (mut w, mut h, mut b) = (0, 0, 0);
    let planes = chunk.planes.as_chunks::<4>().0.iter().zip(&chunk.thirds);
    for (block, (planes, p2)) in planes.enumerate() {
        let start = block * LANES;
        let [p0, p1] = planes_of(*planes);
        for lane in 0..LANES {
            let (b0, b1, b2) = (p0 >> lane & 1, p1 >> lane & 1, p2 >> lane & 1);
            let word = u32::from_le_bytes(next(words, &mut w, b0 & b1 & (b2 ^ 1)));
            let half = u32::from(u16::from_le_bytes(next(halves, &mut h, b1 & (b0 ^ 1))));
            let byte = u32::from(next(bytes, &mut b, b0 & (b1 ^ 1 | b2))[0]);
            let at = MAX_STRIDE + start + lane;
            let reference = padded[at - chunk.stride];
            // Three classes are made without a branch: keep high bits, add low ones.
            let keep = [!0, !0xff, !0xffff, 0][usize::from(b0 | b1 << 1)];
            let low = [0, byte, half, word][usize::from(b0 | b1 << 1)];
            padded[at] = reference & keep | low;
            if b2 != 0 {
                let back = |back: u32| -> Option<u32> {
                    let before = start.checked_sub(1 + back as usize)?;
                    Some(padded[MAX_STRIDE + before])
                };
                padded[at] = match (b0, b1) {
                    (0, 0) => 0,
                    (1, 0) => back(byte)?,
                    (0, _) => back(half >> 8)? & !0xff | half & 0xff,
                    (_, _) => byte,
                };
            }
        }
    }
    for (bytes, word) in page
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(&padded[MAX_STRIDE..])
    {
        *bytes = word.to_le_bytes();
    }
    Some(())
}
