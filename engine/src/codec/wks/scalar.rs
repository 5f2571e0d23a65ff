//! The portable encoder and decoder; the vector paths write and read the same bytes.

use super::classes::{Classes, Facts};
use super::format::{BLOCKS, Chunk, LANES, MAX_STRIDE, Parts, WORDS, planes_of};
use super::{FAR_REACH, Table, place};
use crate::page::Page;

/// The words of a page after as many zeros as the longest stride.
type Padded = [u32; MAX_STRIDE + WORDS];

/// Fills the streams and planes of a page.
#[inline(always)]
pub(super) fn encode(page: &Page, stride: usize, far: Option<&mut Table>, parts: &mut Parts) {
    let mut padded: Padded = [0; MAX_STRIDE + WORDS];
    for (word, bytes) in padded[MAX_STRIDE..].iter_mut().zip(page.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let stride = stride.clamp(1, MAX_STRIDE);
    parts.clear();
    match far {
        None => encode_plain(&padded, stride, parts),
        Some(table) => encode_far(&padded, stride, table, parts),
    }
}

/// A block's words and their references.
#[inline(always)]
fn block_of(padded: &Padded, stride: usize, block: usize) -> [&[u32; LANES]; 2] {
    let words = |at: usize| -> &[u32; LANES] {
        let words = padded.get(at..).and_then(<[u32]>::first_chunk);
        words.unwrap_or(&[0; LANES])
    };
    let at = MAX_STRIDE + block * LANES;
    [words(at), words(at - stride)]
}

#[inline(always)]
fn encode_plain(padded: &Padded, stride: usize, parts: &mut Parts) {
    for block in 0..BLOCKS {
        let [words, references] = block_of(padded, stride, block);
        let facts = facts(words, references);
        parts.put_planes(block, facts.plain());
        emit(parts, words, &[0; LANES], facts.plain());
    }
}

/// What is true of words and their references.
#[inline(always)]
fn facts(words: &[u32; LANES], references: &[u32; LANES]) -> Facts {
    let mut facts = Facts::default();
    for lane in 0..LANES {
        let differ = words[lane] ^ references[lane];
        facts.some |= u16::from(differ != 0) << lane;
        facts.over_8 |= u16::from(differ >> 8 != 0) << lane;
        facts.over_16 |= u16::from(differ >> 16 != 0) << lane;
    }
    facts
}

#[inline(always)]
fn encode_far(padded: &Padded, stride: usize, table: &mut Table, parts: &mut Parts) {
    table.fill(0);
    for block in 0..BLOCKS {
        let [words, references] = block_of(padded, stride, block);
        let mut facts = facts(words, references);
        let start = block * LANES;
        let mut backs = [0; LANES];
        for lane in 0..LANES {
            let word = words[lane];
            let before = table[place(word)];
            let back = (start as u32).wrapping_sub(before + 1);
            backs[lane] = back;
            let reach = u16::from(back < FAR_REACH);
            let differ = word ^ padded[MAX_STRIDE + before as usize % WORDS];
            facts.zero |= u16::from(word == 0) << lane;
            facts.small |= u16::from(word < 256) << lane;
            facts.equal |= (reach & u16::from(differ == 0)) << lane;
            facts.near |= (reach & u16::from(differ >> 8 == 0)) << lane;
        }
        for (lane, word) in words.iter().enumerate() {
            table[place(*word)] = (start + lane) as u32;
        }
        let classes = facts.best();
        parts.put_planes(block, classes);
        emit(parts, words, &backs, classes);
    }
}

/// Appends a block's words, halves and bytes to the streams. `backs` says how far before the
/// block the far words are.
#[inline(always)]
fn emit(parts: &mut Parts, words: &[u32; LANES], backs: &[u32; LANES], classes: Classes) {
    let counts = &mut parts.counts;
    let to_words = parts.words.as_chunks_mut::<4>().0.get_mut(counts.words..);
    let to_halves = parts.halves.as_chunks_mut::<2>().0.get_mut(counts.halves..);
    let to_bytes = parts.bytes.get_mut(counts.bytes..);
    if let Some(to_words) = to_words.and_then(<[_]>::first_chunk_mut::<LANES>)
        && let Some(to_halves) = to_halves.and_then(<[_]>::first_chunk_mut::<LANES>)
        && let Some(to_bytes) = to_bytes.and_then(<[_]>::first_chunk_mut::<LANES>)
    {
        let (mut w, mut h, mut b) = (0, 0, 0);
        for lane in 0..LANES {
            let ones = |mask: u16| u32::from(mask >> lane & 1).wrapping_neg();
            let (word, back) = (words[lane], backs[lane]);
            let high = (back << 8 ^ word) & 0xff00 & ones(classes.far_high());
            let byte = (back ^ word) & ones(classes.far());
            // At most as many as lanes were looked at, so the masks change nothing.
            to_words[w % LANES] = word.to_le_bytes();
            to_halves[h % LANES] = ((word ^ high) as u16).to_le_bytes();
            to_bytes[b % LANES] = (word ^ byte) as u8;
            w += usize::from(classes.words() >> lane & 1);
            h += usize::from(classes.halves() >> lane & 1);
            b += usize::from(classes.bytes() >> lane & 1);
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

/// Restores the page of a chunk of words; `None` where it is corrupt.
#[inline(always)]
pub(super) fn decode(chunk: &[u8], page: &mut Page) -> Option<()> {
    let chunk = Chunk::parse(chunk)?;
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
