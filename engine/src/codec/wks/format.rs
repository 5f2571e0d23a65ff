//! The layout of a chunk, as `docs/wks.md` describes it byte by byte.

use super::classes::Classes;
use crate::page::PAGE_SIZE;

/// 32-bit words in a page.
pub(super) const WORDS: usize = PAGE_SIZE / 4;

/// Words in a block.
pub(super) const LANES: usize = 16;

/// Blocks in a page.
pub(super) const BLOCKS: usize = WORDS / LANES;

/// The longest stride, in words.
pub(super) const MAX_STRIDE: usize = 64;

/// The first byte of a chunk that is an lz4 block from its second byte on.
pub(super) const KIND_LZ4: u8 = 0;

/// The first byte of a chunk of words whose blocks have two planes.
pub(super) const KIND_PLAIN: u8 = 1;

/// The first byte of a chunk of words of which some blocks have a third plane.
pub(super) const KIND_FAR: u8 = 2;

/// Bytes of a chunk's kind and stride.
const HEAD: usize = 2;

/// Bytes of the first two planes of all blocks.
pub(super) const PLANES: usize = BLOCKS * 4;

/// Bytes of all words and of one block more. The streams of a chunk fit too, with room for
/// a vector behind them.
pub(super) const STREAM_ROOM: usize = 4 * (WORDS + LANES);

/// How many words, halves and bytes the streams hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Words of class L.
    pub(super) words: usize,
    /// Words of classes H and P.
    pub(super) halves: usize,
    /// Words of classes T, F and U.
    pub(super) bytes: usize,
}

impl Counts {
    /// Counts what the words of these planes have in the streams. Each number may hold the
    /// planes of one block in its low 16 bits, or of several side by side.
    #[inline(always)]
    pub(super) fn add(&mut self, p0: u64, p1: u64, p2: u64) {
        self.words += (p0 & p1 & !p2).count_ones() as usize;
        self.halves += (p1 & !p0).count_ones() as usize;
        self.bytes += (p0 & (!p1 | p2)).count_ones() as usize;
    }

    /// Bytes that the streams take in a chunk.
    #[inline(always)]
    pub(super) fn stream_len(self) -> usize {
        4 * self.words + 2 * self.halves + self.bytes
    }
}

/// A chunk of words, its length checked against its planes.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    /// How far back a word's reference is: 1 to [`MAX_STRIDE`] words.
    pub(super) stride: usize,
    /// For each block its first plane and its second, 16 bits each.
    pub(super) planes: &'a [u8; PLANES],
    /// For each block its third plane, 0 where it has none.
    pub(super) thirds: [u16; BLOCKS],
    /// Words, then halves, then bytes: just as many as the counts say.
    pub(super) streams: &'a [u8],
    /// What `streams` holds.
    pub(super) counts: Counts,
}

impl<'a> Chunk<'a> {
    /// Takes a chunk of words apart; `None` where it is none or has not the length that its
    /// planes ask for.
    #[inline(always)]
    pub(super) fn parse(chunk: &'a [u8]) -> Option<Self> {
        let (&[kind, stride], rest) = chunk.split_first_chunk::<HEAD>()?;
        let stride = usize::from(stride);
        if !(1..=MAX_STRIDE).contains(&stride) {
            return None;
        }
        let (with_third, rest) = match kind {
            KIND_PLAIN => (0, rest),
            KIND_FAR => {
                let (bits, rest) = rest.split_first_chunk::<8>()?;
                (u64::from_le_bytes(*bits), rest)
            }
            _ => return None,
        };
        let (planes, rest) = rest.split_first_chunk::<PLANES>()?;
        let (thirds_at, streams) = rest.split_at_checked(2 * with_third.count_ones() as usize)?;
        let mut thirds = [0; BLOCKS];
        let mut counts = Counts::default();
        if kind == KIND_PLAIN {
            // The planes of two blocks at a time.
            const FIRST: u64 = 0x0000_ffff_0000_ffff;
            for pair in planes.as_chunks::<8>().0 {
                let pair = u64::from_le_bytes(*pair);
                counts.add(pair & FIRST, pair >> 16 & FIRST, 0);
            }
        } else {
            let mut blocks = with_third;
            for third in thirds_at.as_chunks::<2>().0 {
                thirds[blocks.trailing_zeros() as usize % BLOCKS] = u16::from_le_bytes(*third);
                blocks &= blocks.wrapping_sub(1);
            }
            for (block, third) in planes.as_chunks::<4>().0.iter().zip(&thirds) {
                let [p0, p1] = planes_of(*block);
                counts.add(u64::from(p0), u64::from(p1), u64::from(*third));
            }
        }
        (streams.len() == counts.stream_len()).then_some(Chunk {
            stride,
            planes,
            thirds,
            streams,
            counts,
        })
    }
}

/// A block's first two planes.
#[inline(always)]
pub(super) fn planes_of(bytes: [u8; 4]) -> [u16; 2] {
    let [a, b, c, d] = bytes;
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

/// What an encoder fills: the parts of a chunk, each with room for a whole vector at its end.
#[derive(Debug)]
pub(super) struct Parts {
    /// For each block its first plane and its second.
    pub(super) planes: [u8; PLANES],
    /// The third planes of the blocks that have one.
    pub(super) thirds: [u8; 2 * BLOCKS],
    /// A bit for each block: it has a third plane.
    pub(super) with_third: u64,
    /// The words, 4 bytes each.
    pub(super) words: [u8; STREAM_ROOM],
    /// The halves, 2 bytes each.
    pub(super) halves: [u8; 2 * (WORDS + LANES)],
    /// The bytes.
    pub(super) bytes: [u8; WORDS + LANES],
    /// How many of each there are.
    pub(super) counts: Counts,
}

impl Default for Parts {
    fn default() -> Self {
        Parts {
            planes: [0; PLANES],
            thirds: [0; 2 * BLOCKS],
            with_third: 0,
            words: [0; STREAM_ROOM],
            halves: [0; 2 * (WORDS + LANES)],
            bytes: [0; WORDS + LANES],
            counts: Counts::default(),
        }
    }
}

impl Parts {
    /// Empties the streams and forgets the third planes.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.with_third = 0;
        self.counts = Counts::default();
    }

    /// Sets a block's planes; its third one is the last.
    #[inline(always)]
    pub(super) fn put_planes(&mut self, block: usize, classes: Classes) {
        let planes = u32::from(classes.p0) | u32::from(classes.p1) << 16;
        if let Some(to) = self.planes.as_chunks_mut::<4>().0.get_mut(block) {
            *to = planes.to_le_bytes();
        }
        // Without a branch: the place past the last third plane is free.
        let thirds = self.with_third.count_ones() as usize;
        if let Some(to) = self.thirds.as_chunks_mut::<2>().0.get_mut(thirds) {
            *to = classes.p2.to_le_bytes();
        }
        self.with_third |= u64::from(classes.with_third) << block;
    }

    /// How long the chunk will be.
    pub(super) fn chunk_len(&self) -> usize {
        let far = if self.with_third == 0 {
            0
        } else {
            8 + 2 * self.with_third.count_ones() as usize
        };
        HEAD + far + PLANES + self.counts.stream_len()
    }

    /// Writes the chunk; `None` where it does not fit.
    pub(super) fn write(&self, stride: usize, out: &mut [u8]) -> Option<usize> {
        let len = self.chunk_len();
        let mut rest = out.get_mut(..len)?;
        let mut put = |bytes: &[u8]| -> Option<()> {
            rest.split_off_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(())
        };
        if self.with_third == 0 {
            put(&[KIND_PLAIN, stride as u8])?;
        } else {
            put(&[KIND_FAR, stride as u8])?;
            put(&self.with_third.to_le_bytes())?;
        }
        put(&self.planes)?;
        put(self
            .thirds
            .get(..2 * self.with_third.count_ones() as usize)?)?;
        put(self.words.get(..4 * self.counts.words)?)?;
        put(self.halves.get(..2 * self.counts.halves)?)?;
        put(self.bytes.get(..self.counts.bytes)?)?;
        Some(len)
    }
}
