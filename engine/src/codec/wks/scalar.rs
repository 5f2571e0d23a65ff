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
    let mut flags = [[0; LANES]; 3];
    for lane in 0..LANES {
        let differ = words[lane] ^ references[lane];
        flags[0][lane] = u8::from(differ != 0);
        flags[1][lane] = u8::from(differ >> 8 != 0);
        flags[2][lane] = u8::from(differ >> 16 != 0);
    }
    Facts {
        some: pack(&flags[0]),
        over_8: pack(&flags[1]),
        over_16: pack(&flags[2]),
        ..Facts::default()
    }
}

/// Sixteen bytes of 0 or 1 as bits, the first as bit 0.
#[inline(always)]
fn pack(flags: &[u8; LANES]) -> u16 {
    // The product's top byte has bit i from byte i, and no two addends meet in one bit.
    let pack = |eight: u64| eight.wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let all = u128::from_le_bytes(*flags);
    (pack(all as u64) | pack((all >> 64) as u64) << 8) as u16
}

/// The inverse of [`pack`].
#[inline(always)]
fn unpack(bits: u16) -> [u8; LANES] {
    let unpack = |bits: u16| {
        // Byte i keeps only bit i; adding 0x7f carries it to the byte's top bit, unless it is
        // there.
        let each = (u64::from(bits) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
        ((each + 0x007f_7f7f_7f7f_7f7f) >> 7) & 0x0101_0101_0101_0101
    };
    (u128::from(unpack(bits & 0xff)) | u128::from(unpack(bits >> 8)) << 64).to_le_bytes()
}

#[inline(always)]
fn encode_far(padded: &Padded, stride: usize, table: &mut Table, parts: &mut Parts) {
    table.fill(0);
    for block in 0..BLOCKS {
        let [words, references] = block_of(padded, stride, block);
        let mut facts = facts(words, references);
        let start = block * LANES;
        let mut backs = [0; LANES];
        let mut far = [0; LANES];
        for lane in 0..LANES {
            let before = table[place(words[lane])];
            backs[lane] = (start as u32).wrapping_sub(before + 1);
            far[lane] = padded[MAX_STRIDE + before as usize % WORDS];
        }
        let mut flags = [[0; LANES]; 4];
        for lane in 0..LANES {
            let word = words[lane];
            let differ = word ^ far[lane];
            let reach = u8::from(backs[lane] < FAR_REACH);
            flags[0][lane] = u8::from(word == 0);
            flags[1][lane] = u8::from(word < 256);
            flags[2][lane] = reach & u8::from(differ == 0);
            flags[3][lane] = reach & u8::from(differ >> 8 == 0);
        }
        facts.zero = pack(&flags[0]);
        facts.small = pack(&flags[1]);
        facts.equal = pack(&flags[2]);
        facts.near = pack(&flags[3]);
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
    let (far, far_high) = (unpack(classes.far()), unpack(classes.far_high()));
    let mut as_words = [[0; 4]; LANES];
    let mut halves = [[0; 2]; LANES];
    let mut bytes = [[0; 1]; LANES];
    for lane in 0..LANES {
        let (word, back) = (words[lane], backs[lane]);
        let ones = |flag: u8| u32::from(flag).wrapping_neg();
        let high = (back << 8 ^ word) & 0xff00 & ones(far_high[lane]);
        as_words[lane] = word.to_le_bytes();
        halves[lane] = ((word ^ high) as u16).to_le_bytes();
        bytes[lane] = [(word ^ ((back ^ word) & ones(far[lane]))) as u8];
    }
    let counts = &mut parts.counts;
    append(
        &mut parts.words,
        &mut counts.words,
        &as_words,
        classes.words(),
    );
    append(
        &mut parts.halves,
        &mut counts.halves,
        &halves,
        classes.halves(),
    );
    append(&mut parts.bytes, &mut counts.bytes, &bytes, classes.bytes());
}

/// Appends the items of a set to a stream that holds `count`.
///
/// Each item is put at the stream's end, which moves on only where the item belongs there.
#[inline(always)]
fn append<const N: usize>(
    stream: &mut [u8],
    count: &mut usize,
    items: &[[u8; N]; LANES],
    set: u16,
) {
    let room = stream.as_chunks_mut::<N>().0.get_mut(*count..);
    if let Some(room) = room.and_then(<[_]>::first_chunk_mut::<LANES>) {
        let mut n = 0;
        for (item, flag) in items.iter().zip(unpack(set)) {
            // At most as many as were looked at, so the remainder changes nothing.
            room[n % LANES] = *item;
            n += usize::from(flag);
        }
        *count += n;
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
