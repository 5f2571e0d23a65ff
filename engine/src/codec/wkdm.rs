//! WKdm: compresses memory by words, after Wilson, Kaplan and Smaragdakis, "The Case for
//! Compressed Caching in Virtual Memory Systems", USENIX 1999.
//!
//! Pages of anonymous memory are full of pointers, counters and small numbers that resemble
//! one seen shortly before. A direct-mapped dictionary of sixteen 32-bit words remembers
//! those; it starts with sixteen zeros. Each word of the page gets a tag:
//!
//! | tag | the word | what is written | the dictionary |
//! |---|---|---|---|
//! | 0 zero | is 0 | – | stays |
//! | 1 partial | differs from its entry in the low 10 bits only | index, low 10 bits | entry := word |
//! | 2 miss | anything else | the word | entry := word |
//! | 3 exact | equals its entry | index | stays |
//!
//! The entry of word `w` is number `((w >> 10 ^ w >> 20) · 0xE995 mod 2¹⁶) >> 12`: a hash of
//! the 22 bits that a partial match shares, so that all words that match each other have the
//! same one. (The paper looks it up in a table of random numbers; this hash needs only 16-bit
//! arithmetic, which vector registers have, and collides less on the high and low halves of
//! 64-bit pointers.)
//!
//! # Layout of a chunk
//! All numbers are little-endian. `m`, `x` and `p` are the counts of missed, exact and
//! partially matched words, known from the tags; the length of the chunk follows from them
//! and is checked.
//!
//! ```text
//! offset                bytes
//! 0                     256             tags: for each 16 words, two bytes with the low bits of
//!                                       their tags, then two with the high bits; the first word
//!                                       has bit 0
//! 256                   4·m             missed words
//! 256+4·m               ⌈(x+p)/2⌉       indexes, 4 bits each, the first in the low half of a byte
//! 256+4·m+⌈(x+p)/2⌉     ⌈10·p/8⌉        low parts, 10 bits each, from the lowest bit upwards
//! ```
//!
//! Bits past the last index and the last low part are zero when written and ignored when read.
//!
//! # Speed
//! A branch on the tag is mispredicted every few words and would cost more than all the rest,
//! so there is none: every word is put at the end of every queue, and the end moves on only
//! where the word belongs there. Encoder and decoder go over the page in several short passes,
//! of which all but two are loops that compilers turn into vector instructions, and no pass
//! reads through a wide register what narrow stores have just written.

use core::array;

use crate::page::{PAGE_SIZE, Page};

/// 32-bit words in a page.
const WORDS: usize = PAGE_SIZE / 4;

/// Words that share two 16-bit planes of tags, and are queued together.
const GROUP: usize = 16;

/// Bytes of tags at the head of a chunk.
const TAGS: usize = WORDS / 4;

/// Entries of the dictionary.
const ENTRIES: usize = 16;

/// Bits of a word in which a partial match may differ.
const LOW_BITS: u32 = 10;

/// The low part of a word.
const LOW_MASK: u32 = (1 << LOW_BITS) - 1;

/// One item a word.
type PerWord<T> = [T; WORDS];

/// Items that only some words have, in order. The spare group lets a whole one be written or
/// read wherever the queue ends.
type Queue<T> = [T; WORDS + GROUP];

/// The queues and what the passes over a page hand to each other: about 26 KiB.
pub(super) struct State {
    /// Bit 0 of each tag, as a byte of 0 or 1: the word has an index.
    odd: PerWord<u8>,
    /// Bit 1 of each tag.
    high: PerWord<u8>,
    /// 1 if the tag is "miss".
    missed: PerWord<u8>,
    /// 1 if the tag is "partial".
    partial: PerWord<u8>,
    /// Where each word's entry is read (and, encoding, written) in the extended dictionary.
    slot: PerWord<u16>,
    /// Decoding: where each word is written in the extended dictionary.
    target: PerWord<u16>,
    /// Encoding: the entry that each word found. Decoding: missed word or low part.
    other: PerWord<u32>,
    /// Decoding: the bits that each word takes from its entry.
    keep: PerWord<u32>,
    words: Queue<u32>,
    indexes: Queue<u16>,
    lows: Queue<u16>,
}

/// The number of a word's entry.
#[inline(always)]
fn entry_of(word: u32) -> u16 {
    (((word >> LOW_BITS) ^ (word >> (2 * LOW_BITS))) as u16).wrapping_mul(0xE995) >> 12
}

/// How many words of a page have an index, were missed, matched partially.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    indexes: usize,
    missed: usize,
    partial: usize,
}

impl Counts {
    fn index_bytes(self) -> usize {
        self.indexes.div_ceil(2)
    }

    fn low_bytes(self) -> usize {
        (self.partial * LOW_BITS as usize).div_ceil(8)
    }

    fn chunk_len(self) -> usize {
        TAGS + 4 * self.missed + self.index_bytes() + self.low_bytes()
    }
}

/// Adds up bytes of 0 or 1.
fn count(flags: &PerWord<u8>) -> usize {
    // At most 64 ones are added in a byte, 16 bytes side by side.
    let mut sums = [0_u8; GROUP];
    for group in flags.as_chunks::<GROUP>().0 {
        for (sum, flag) in sums.iter_mut().zip(group) {
            *sum += flag;
        }
    }
    sums.iter().map(|sum| usize::from(*sum)).sum()
}

/// Appends the items whose flag is 1 to a queue that ends at `end`, and moves `end`.
#[inline(always)]
fn enqueue<T: Copy>(
    queue: &mut Queue<T>,
    end: &mut usize,
    items: &[T; GROUP],
    flags: &[u8; GROUP],
) {
    if let Some(room) = queue
        .get_mut(*end..)
        .and_then(<[T]>::first_chunk_mut::<GROUP>)
    {
        let mut n = 0;
        for (item, flag) in items.iter().zip(flags) {
            // At most as many as were looked at, so the mask changes nothing.
            room[n % GROUP] = *item;
            n += usize::from(*flag);
        }
        *end += n;
    }
}

/// Takes an item for each flag of 1 from a queue whose next item is at `next`, and moves
/// `next`. If the flag is 0 the item is some other one.
#[inline(always)]
fn dequeue<T: Copy>(
    queue: &Queue<T>,
    next: &mut usize,
    items: &mut [T; GROUP],
    flags: &[u8; GROUP],
) {
    if let Some(ready) = queue.get(*next..).and_then(<[T]>::first_chunk::<GROUP>) {
        let mut n = 0;
        for (item, flag) in items.iter_mut().zip(flags) {
            *item = ready[n % GROUP];
            n += usize::from(*flag);
        }
        *next += n;
    }
}

impl State {
    /// Whether any page was compressed with it.
    #[cfg(test)]
    pub(super) fn is_touched(&self) -> bool {
        self.slot != [0; WORDS]
    }

    /// Finds each word's tag; fills `slot`, `odd`, `high`, `missed` and `partial`.
    fn match_words(&mut self, page: &Page) -> Counts {
        let words = page.as_chunks::<4>().0;
        // A zero has an entry of its own, which only zeros touch.
        for (slot, word) in self.slot.iter_mut().zip(words) {
            let word = u32::from_le_bytes(*word);
            *slot = entry_of(word) | if word == 0 { ENTRIES as u16 } else { 0 };
        }
        let mut dictionary = [0; 2 * ENTRIES];
        for ((found, slot), word) in self.other.iter_mut().zip(&self.slot).zip(words) {
            let entry = &mut dictionary[usize::from(*slot) % (2 * ENTRIES)];
            *found = *entry;
            *entry = u32::from_le_bytes(*word);
        }
        for (i, (found, word)) in self.other.iter().zip(words).enumerate() {
            let word = u32::from_le_bytes(*word);
            let differ = word ^ found;
            let some = u8::from(word != 0);
            let near = u8::from(differ >> LOW_BITS == 0);
            let equal = u8::from(differ == 0);
            self.odd[i] = near & some;
            // Zeros are near and equal.
            self.missed[i] = near ^ 1;
            self.partial[i] = near ^ equal;
            self.high[i] = (near ^ 1) | (equal & some);
        }
        Counts {
            indexes: count(&self.odd),
            missed: count(&self.missed),
            partial: count(&self.partial),
        }
    }

    /// Fills the queues from what [`State::match_words`] found.
    fn fill_queues(&mut self, page: &Page) {
        let (mut words, mut indexes, mut lows) = (0, 0, 0);
        let groups = page.as_chunks::<{ 4 * GROUP }>().0.iter();
        let groups = groups
            .zip(self.slot.as_chunks().0)
            .zip(self.odd.as_chunks().0);
        let groups = groups
            .zip(self.missed.as_chunks().0)
            .zip(self.partial.as_chunks().0);
        for ((((group, slot), odd), missed), partial) in groups {
            let group = group.as_chunks::<4>().0;
            let word = array::from_fn(|i| u32::from_le_bytes(group[i]));
            let low = array::from_fn(|i| u16::from_le_bytes([group[i][0], group[i][1]]));
            enqueue(&mut self.words, &mut words, &word, missed);
            enqueue(&mut self.indexes, &mut indexes, slot, odd);
            enqueue(&mut self.lows, &mut lows, &low, partial);
        }
        // What the last group left behind the end would show in the last bytes of the chunk.
        self.indexes[indexes..indexes + 1].fill(0);
        self.lows[lows..lows + 3].fill(0);
    }

    /// Writes the chunk; `out` has just its length.
    fn write(&self, counts: Counts, out: &mut [u8]) {
        let (tags, out) = out.split_at_mut(TAGS);
        let (words, out) = out.split_at_mut(4 * counts.missed);
        let (indexes, lows) = out.split_at_mut(counts.index_bytes());
        let planes = self.odd.as_chunks::<8>().0.chunks_exact(2);
        let planes = planes.zip(self.high.as_chunks::<8>().0.chunks_exact(2));
        for (out, (odd, high)) in tags.as_chunks_mut::<4>().0.iter_mut().zip(planes) {
            *out = [pack(odd[0]), pack(odd[1]), pack(high[0]), pack(high[1])];
        }
        for (out, word) in words.as_chunks_mut::<4>().0.iter_mut().zip(&self.words) {
            *out = word.to_le_bytes();
        }
        for (out, pair) in indexes.iter_mut().zip(self.indexes.as_chunks::<2>().0) {
            *out = (pair[0] | pair[1] << 4) as u8;
        }
        for (out, four) in lows.chunks_mut(5).zip(self.lows.as_chunks::<4>().0) {
            let [a, b, c, d] = four.map(|low| u64::from(low) & u64::from(LOW_MASK));
            let bits = (a | b << 10 | c << 20 | d << 30).to_le_bytes();
            if let Some(out) = out.first_chunk_mut::<5>() {
                *out = [bits[0], bits[1], bits[2], bits[3], bits[4]];
            } else {
                out.copy_from_slice(&bits[..out.len()]);
            }
        }
    }

    /// Fills `odd`, `high`, `missed` and `partial` from the tags of a chunk.
    fn read_tags(&mut self, tags: &[u8; TAGS]) -> Counts {
        let odd = self.odd.as_chunks_mut::<8>().0.chunks_exact_mut(2);
        let high = self.high.as_chunks_mut::<8>().0.chunks_exact_mut(2);
        for ((tags, odd), high) in tags.as_chunks::<4>().0.iter().zip(odd).zip(high) {
            odd[0] = unpack(tags[0]);
            odd[1] = unpack(tags[1]);
            high[0] = unpack(tags[2]);
            high[1] = unpack(tags[3]);
        }
        for i in 0..WORDS {
            self.missed[i] = self.high[i] & (self.odd[i] ^ 1);
            self.partial[i] = self.odd[i] & (self.high[i] ^ 1);
        }
        Counts {
            indexes: count(&self.odd),
            missed: count(&self.missed),
            partial: count(&self.partial),
        }
    }

    /// Fills the queues from the rest of a chunk, which has just the length of `counts`.
    fn read_queues(&mut self, counts: Counts, rest: &[u8]) {
        let (words, rest) = rest.split_at(4 * counts.missed);
        let (indexes, lows) = rest.split_at(counts.index_bytes());
        for (word, bytes) in self.words.iter_mut().zip(words.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        for (pair, byte) in self.indexes.as_chunks_mut::<2>().0.iter_mut().zip(indexes) {
            *pair = [u16::from(byte & 15), u16::from(byte >> 4)];
        }
        for (four, bytes) in self
            .lows
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(lows.chunks(5))
        {
            let mut wide = [0; 8];
            if let Some([a, b, c, d, e]) = bytes.first_chunk::<5>() {
                wide = [*a, *b, *c, *d, *e, 0, 0, 0];
            } else {
                wide[..bytes.len()].copy_from_slice(bytes);
            }
            let bits = u64::from_le_bytes(wide);
            *four = array::from_fn(|i| (bits >> (10 * i)) as u16 & LOW_MASK as u16);
        }
    }

    /// Restores the page from flags and queues.
    fn restore_words(&mut self, page: &mut Page) {
        // Give each word the queues' items that are its own.
        let (mut words, mut indexes, mut lows) = (0, 0, 0);
        let groups = self.other.as_chunks_mut().0.iter_mut();
        let groups = groups
            .zip(self.slot.as_chunks_mut().0)
            .zip(self.target.as_chunks_mut().0);
        let groups = groups.zip(self.odd.as_chunks().0);
        let groups = groups
            .zip(self.missed.as_chunks().0)
            .zip(self.partial.as_chunks().0);
        for (((((word, slot), low), odd), missed), partial) in groups {
            dequeue(&self.words, &mut words, word, missed);
            dequeue(&self.indexes, &mut indexes, slot, odd);
            dequeue(&self.lows, &mut lows, low, partial);
        }
        // A word is what it keeps of its entry and what it brings. Words that keep nothing
        // read a zero beyond the entries, and words that leave their entry alone write beyond
        // that, so that one word waits for another only if it needs its value.
        for i in 0..WORDS {
            let ones = |flag: u8| u16::from(flag).wrapping_neg();
            let (odd, missed) = (ones(self.odd[i]), ones(self.missed[i]));
            let partial = ones(self.partial[i]);
            let wide = |ones: u16| ones as i16 as u32;
            let (word, low, index) = (self.other[i], self.target[i], self.slot[i]);
            self.keep[i] = wide(odd) & !(wide(partial) & LOW_MASK);
            self.other[i] = (word & wide(missed)) | (u32::from(low & partial));
            self.slot[i] = (index & odd) | (ENTRIES as u16 & !odd);
            self.target[i] = (entry_of(word) & missed)
                | (index & partial)
                | ((ENTRIES as u16 + 1) & !(missed | partial));
        }
        let mut dictionary = [0_u32; 2 * ENTRIES];
        let words = page.as_chunks_mut::<4>().0.iter_mut();
        let words = words
            .zip(&self.slot)
            .zip(&self.target)
            .zip(&self.keep)
            .zip(&self.other);
        for ((((out, slot), target), keep), other) in words {
            let word = dictionary[usize::from(*slot) % (2 * ENTRIES)] & keep | other;
            dictionary[usize::from(*target) % (2 * ENTRIES)] = word;
            *out = word.to_le_bytes();
        }
    }
}

/// Eight bytes of 0 or 1 as the bits of one byte, the first as bit 0.
#[inline(always)]
fn pack(flags: [u8; 8]) -> u8 {
    // The product's top byte has bit i from byte i, and no two addends meet in one bit.
    (u64::from_le_bytes(flags).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// The inverse of [`pack`].
#[inline(always)]
fn unpack(bits: u8) -> [u8; 8] {
    // Byte i keeps only bit i; adding 0x7f carries it to the byte's top bit, unless it is there.
    let each = (u64::from(bits) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    let top = each + 0x007f_7f7f_7f7f_7f7f;
    ((top >> 7) & 0x0101_0101_0101_0101).to_le_bytes()
}

/// [`Codecs::compress`](super::Codecs::compress).
pub(super) fn compress(page: &Page, state: &mut State, out: &mut [u8]) -> Option<usize> {
    let counts = state.match_words(page);
    let chunk = out.get_mut(..counts.chunk_len())?;
    state.fill_queues(page);
    state.write(counts, chunk);
    Some(chunk.len())
}

/// Restores a page; `None` if `chunk` is corrupt.
pub(super) fn decompress(chunk: &[u8], state: &mut State, page: &mut Page) -> Option<()> {
    let (tags, rest) = chunk.split_first_chunk::<TAGS>()?;
    let counts = state.read_tags(tags);
    if chunk.len() != counts.chunk_len() {
        return None;
    }
    state.read_queues(counts, rest);
    state.restore_words(page);
    Some(())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{
        any_page, check_damage, check_round_trip, check_round_trips, chunk_of, made_pages,
        real_pages,
    };
    use crate::codec::{Builtin, CodecId, CodecSpec, Codecs};

    const WKDM: CodecSpec = CodecSpec::of(CodecId::Wkdm);

    /// The table and the layout of the module's documentation, word by word.
    fn plain(page: &Page) -> Vec<u8> {
        let mut dictionary = [0; 16];
        let (mut tags, mut words) = (Vec::new(), Vec::new());
        let (mut indexes, mut lows): (Vec<u8>, Vec<u32>) = (Vec::new(), Vec::new());
        for bytes in page.chunks(4) {
            let w = u32::from_le_bytes(bytes.try_into().unwrap());
            let entry = ((w >> 10 ^ w >> 20) as u16).wrapping_mul(0xE995) >> 12;
            let found = dictionary[entry as usize];
            if w == 0 {
                tags.push(0);
                continue;
            } else if w == found {
                tags.push(3);
                indexes.push(entry as u8);
            } else if w >> 10 == found >> 10 {
                tags.push(1);
                indexes.push(entry as u8);
                lows.push(w & 1023);
            } else {
                tags.push(2);
                words.extend_from_slice(bytes);
            }
            dictionary[entry as usize] = w;
        }
        let mut chunk = Vec::new();
        for sixteen in tags.chunks(16) {
            for plane in 0..2 {
                let bits = |eight: &[u8]| (0..8).map(|i| (eight[i] >> plane & 1) << i).sum::<u8>();
                chunk.extend([bits(&sixteen[..8]), bits(&sixteen[8..])]);
            }
        }
        chunk.extend(words);
        chunk.extend(
            indexes
                .chunks(2)
                .map(|two| two[0] | two.get(1).unwrap_or(&0) << 4),
        );
        let mut bits = 0..lows.len() * 10;
        while !bits.is_empty() {
            let byte = bits.by_ref().take(8).enumerate();
            chunk.push(
                byte.map(|(to, from)| ((lows[from / 10] >> (from % 10) & 1) as u8) << to)
                    .sum(),
            );
        }
        chunk
    }

    #[test]
    fn every_page_comes_back() {
        check_round_trips(WKDM);
    }

    #[test]
    fn chunks_are_as_documented() {
        let mut scratch = Builtin::scratch().unwrap();
        for (name, page) in made_pages().iter().chain(&real_pages()) {
            let expected = plain(page);
            let chunk = chunk_of(WKDM, page, &mut scratch);
            assert_eq!(chunk.is_some(), expected.len() <= PAGE_SIZE, "{name}");
            if let Some(chunk) = chunk {
                assert!(chunk == expected, "{name}: not the documented chunk");
                check_round_trip(WKDM, name, page, &mut scratch);
            }
        }
    }

    #[test]
    fn words_of_each_tag_cost_what_they_should() {
        let mut scratch = Builtin::scratch().unwrap();
        let mut len = |word: fn(u32) -> u32| {
            let mut page = [0; PAGE_SIZE];
            for (i, bytes) in page.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *bytes = word(i as u32).to_le_bytes();
            }
            let mut out = [0; 2 * PAGE_SIZE];
            Builtin::compress(WKDM, &page, &mut scratch, &mut out)
        };
        assert_eq!(len(|_| 0), Some(256));
        assert_eq!(len(|_| 0xABCD_EF01), Some(256 + 4 + 512));
        assert_eq!(len(|i| 0xABCD_E800 | i), Some(256 + 4 + 512 + 1279));
        assert_eq!(len(|i| (i + 1) << 10), Some(256 + 4096));
    }

    #[test]
    fn damaged_chunks_do_no_harm() {
        check_damage(WKDM);
    }

    #[test]
    fn flags_pack_and_unpack() {
        for bits in 0..=255 {
            assert_eq!(unpack(bits), array::from_fn(|i| bits >> i & 1));
            assert_eq!(pack(unpack(bits)), bits);
        }
    }

    proptest! {
        #[test]
        fn any_page_comes_back(page in any_page()) {
            let mut scratch = Builtin::scratch().unwrap();
            let expected = plain(&page);
            let chunk = chunk_of(WKDM, &page, &mut scratch);
            prop_assert_eq!(chunk.is_some(), expected.len() <= PAGE_SIZE);
            if let Some(chunk) = chunk {
                prop_assert!(chunk == expected);
                let mut back = [0; PAGE_SIZE];
                prop_assert_eq!(Builtin::decompress(CodecId::Wkdm, &chunk, &mut scratch, &mut back), Ok(()));
                prop_assert!(back == *page);
            }
        }

        #[test]
        fn any_bytes_of_the_right_length_decode(
            mut chunk in proptest::collection::vec(any::<u8>(), TAGS..5000),
        ) {
            let mut scratch = Builtin::scratch().unwrap();
            let mut page = [0; PAGE_SIZE];
            let _ = Builtin::decompress(CodecId::Wkdm, &chunk, &mut scratch, &mut page);
            let tags = *chunk.first_chunk().unwrap();
            chunk.resize(scratch.memory().wkdm.read_tags(&tags).chunk_len(), 0x5A);
            prop_assert_eq!(Builtin::decompress(CodecId::Wkdm, &chunk, &mut scratch, &mut page), Ok(()));
        }
    }
}
