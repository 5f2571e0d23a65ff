//! The layout of a chunk, as `docs/wks.md` describes it byte by byte.

use super::super::blocks;
use super::classes::{Classes, Facts, Found};
use super::far::Far;
use super::sizes::{BLOCKS, GROUP, GROUPS, LANES, MAX_STRIDE, Plane, STREAM_ROOM, WORDS};

/// The first byte of a chunk that is an lz4 block from its second byte on.
pub(super) const KIND_LZ4: u8 = 0;

/// The first byte of a chunk of words whose blocks have two planes.
pub(super) const KIND_PLAIN: u8 = 1;

/// The first byte of a chunk of words of which some blocks have a third plane.
pub(super) const KIND_FAR: u8 = 2;

/// Bytes of a chunk's kind and stride.
const HEAD: usize = 2;

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
    /// Counts what the words of a group have in the streams.
    #[inline(always)]
    pub(super) fn add(&mut self, classes: Classes) {
        self.words += classes.words().count_ones() as usize;
        self.halves += classes.halves().count_ones() as usize;
        self.bytes += classes.bytes().count_ones() as usize;
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
    /// The first two planes.
    pub(super) planes: [&'a Plane; 2],
    /// The third plane, 0 in blocks that have none.
    pub(super) third: &'a Plane,
    /// Words, then halves, then bytes: just as many as the counts say.
    pub(super) streams: &'a [u8],
    /// What `streams` holds.
    pub(super) counts: Counts,
}

impl<'a> Chunk<'a> {
    /// Takes a chunk of words apart; `None` if it is none or has not the length that its
    /// planes ask for. `third`, all 0, gets the third plane.
    #[inline(always)]
    pub(super) fn parse(chunk: &'a [u8], third: &'a mut Plane) -> Option<Self> {
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
        let (first, rest) = rest.split_first_chunk()?;
        let (second, rest) = rest.split_first_chunk()?;
        let (thirds, streams) = rest.split_at_checked(2 * with_third.count_ones() as usize)?;
        let mut blocks = with_third;
        for of_block in thirds.as_chunks::<2>().0 {
            let block = blocks.trailing_zeros() as usize % BLOCKS;
            third.as_chunks_mut::<2>().0[block] = *of_block;
            blocks &= blocks.wrapping_sub(1);
        }
        let mut chunk = Chunk {
            stride,
            planes: [first, second],
            third,
            streams,
            counts: Counts::default(),
        };
        let mut counts = Counts::default();
        for group in 0..GROUPS {
            counts.add(chunk.classes(group));
        }
        chunk.counts = counts;
        (streams.len() == counts.stream_len()).then_some(chunk)
    }

    /// The classes of a group's words.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline(always)]
    pub(super) fn classes(&self, group: usize) -> Classes {
        let of = |plane: &Plane| u64::from_le_bytes(plane.as_chunks::<8>().0[group]);
        Classes {
            p0: of(self.planes[0]),
            p1: of(self.planes[1]),
            p2: of(self.third),
        }
    }
}

/// What an encoder fills: the parts of a chunk, each with room for a whole vector at its end.
#[derive(Debug)]
pub(super) struct Parts {
    /// The first two planes.
    pub(super) planes: [Plane; 2],
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

impl Parts {
    /// Fills the parts with a page, at the balanced level with `far`.
    ///
    /// `facts` says what is true of a group's words and their references. `find` looks up the far
    /// words of a set of a group's words and says what is true of them. `append` appends a group's
    /// words, halves and bytes to the streams, behind those that are counted, and counts them.
    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        mut far: Option<&mut Far>,
        facts: impl Fn(usize) -> Facts,
        find: impl Fn(&mut Far, usize, u64) -> Found,
        append: impl Fn(&mut Parts, Option<&Far>, usize, Classes),
    ) {
        self.with_third = 0;
        self.counts = Counts::default();
        if let Some(far) = &mut far {
            far.clear();
        }
        for group in 0..GROUPS {
            let facts = facts(group);
            let found = match &mut far {
                None => Found::default(),
                Some(far) => find(far, group, facts.sought()),
            };
            let (classes, thirds) = facts.best(found);
            self.put_planes(group, classes, thirds);
            append(self, far.as_deref(), group, classes);
        }
    }

    /// Sets a group's planes, of which `thirds` has a bit for each block with a third one; all
    /// groups before are set.
    #[inline(always)]
    fn put_planes(&mut self, group: usize, classes: Classes, thirds: u64) {
        for (plane, bits) in self.planes.iter_mut().zip([classes.p0, classes.p1]) {
            if let Some(to) = plane.as_chunks_mut::<8>().0.get_mut(group) {
                *to = bits.to_le_bytes();
            }
        }
        let places = self.thirds.as_chunks_mut::<2>().0;
        let mut n = self.with_third.count_ones() as usize;
        for block in 0..GROUP {
            // Without a branch: the place past the last third plane is free.
            if let Some(to) = places.get_mut(n) {
                *to = ((classes.p2 >> (block * LANES)) as u16).to_le_bytes();
            }
            n += (thirds >> block & 1) as usize;
        }
        self.with_third |= thirds << (group * GROUP);
    }

    /// Puts the numbers of a group's far words in the places of low bytes, the last of the
    /// streams but not yet counted.
    #[cfg(all(
        target_arch = "x86_64",
        any(feature = "std", all(feature = "simd", target_feature = "sse2"))
    ))]
    #[inline(always)]
    pub(super) fn put_far_numbers(&mut self, far: &Far, group: usize, classes: Classes) {
        // The number of items before word `i`.
        let before = |set: u64, i: usize| (set & ((1 << i) - 1)).count_ones() as usize;
        let mut set = classes.far();
        while set != 0 {
            let i = set.trailing_zeros() as usize % super::sizes::GROUP_WORDS;
            set &= set - 1;
            let n = self.counts.bytes + before(classes.bytes(), i);
            if let Some(byte) = self.bytes.get_mut(n) {
                *byte = far.back(group, i) as u8;
            }
        }
        let mut set = classes.far_high();
        while set != 0 {
            let i = set.trailing_zeros() as usize % super::sizes::GROUP_WORDS;
            set &= set - 1;
            let n = self.counts.halves + before(classes.halves(), i);
            if let Some([_, high]) = self.halves.as_chunks_mut::<2>().0.get_mut(n) {
                *high = far.back(group, i) as u8;
            }
        }
    }

    /// How long the chunk will be.
    pub(super) fn chunk_len(&self) -> usize {
        let far = if self.with_third == 0 {
            0
        } else {
            8 + 2 * self.with_third.count_ones() as usize
        };
        HEAD + far + 2 * (WORDS / 8) + self.counts.stream_len()
    }

    /// Writes the chunk; `None` if it does not fit.
    pub(super) fn write(&self, stride: usize, out: &mut [u8]) -> Option<usize> {
        let len = self.chunk_len();
        let mut rest = out.get_mut(..len)?;
        let mut put = |bytes: &[u8]| -> Option<()> {
            blocks::copy(bytes, rest.split_off_mut(..bytes.len())?);
            Some(())
        };
        if self.with_third == 0 {
            put(&[KIND_PLAIN, stride as u8])?;
        } else {
            put(&[KIND_FAR, stride as u8])?;
            put(&self.with_third.to_le_bytes())?;
        }
        put(self.planes.as_flattened())?;
        put(self
            .thirds
            .get(..2 * self.with_third.count_ones() as usize)?)?;
        put(self.words.get(..4 * self.counts.words)?)?;
        put(self.halves.get(..2 * self.counts.halves)?)?;
        put(self.bytes.get(..self.counts.bytes)?)?;
        Some(len)
    }
}
