//! What the demo's program keeps in its pages: content such as programs have in memory, made from
//! a seed and the page's number alone, so that any page can be checked at any time.
//!
//! A page is, by its number's hash: text, an array of records with pointers in them, small
//! integers, floating-point numbers of a small range, partly used, zero, or random. Their shares
//! are set so that lz4 makes about a third of them, as it does of real anonymous memory.

use compcache_random::Random;

/// Bytes in a page.
pub(crate) const PAGE_SIZE: usize = 4096;

/// 64-bit words in a page.
const WORDS: usize = PAGE_SIZE / 8;

/// A page of the program's memory.
#[repr(C, align(4096))]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Page(pub [u64; WORDS]);

/// Makes pages from a seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    seed: u64,
}

/// What the lines of text are made of; a number follows each, as in logs and markup.
const PHRASES: [&str; 20] = [
    "the kernel swaps out pages that were not used for a while, page ",
    "<entry state=\"ready\" kind=\"anonymous\" id=\"",
    "\"/>\n",
    "\n[info] request was served from the cache in us ",
    "\n[warn] retry after timeout, attempt ",
    "and the memory that it takes is given back as soon as ",
    "\", \"name\": \"compressed caching\", \"size\": ",
    "\n        return self.table[index].value + ",
    "\n    if (page->mapping == NULL && page->index < ",
    ", which is less than what the disk would need for ",
    "\ntypedef struct entry { struct entry *next; int value; } entry_",
    " 0x00007f3c8a001",
    "\n    at module.function (source/file.rs:",
    ", and so on until the end of chapter ",
    "; user=www-data; path=/var/lib/service/data/",
    "\nGET /static/images/icon-small.png HTTP/1.1 ",
    " | NULL | 2006-11-05 | active | ",
    "</td><td class=\"number\">",
    "</td></tr>\n<tr><td class=\"name\">row ",
    "\n\tmov\t%rax, %rdi\n\tcall\tcompress_page_",
];

impl Content {
    /// Content of the program with this seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Content { seed }
    }

    /// Writes into `page` what page `index` holds after `version` changes.
    pub(crate) fn write(&self, page: &mut Page, index: u64, version: u32) {
        let mut random = Random::new(self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let words = &mut page.0;
        match random.below(100) {
            0..28 => text(words, &mut random),
            28..50 => records(words, &mut random, index),
            50..66 => small_integers(words, &mut random),
            66..72 => floats(words, &mut random),
            72..86 => partly_used(words, &mut random),
            86..96 => {
                words.fill(0);
                // No mark, or it would not be zero.
                return;
            }
            _ => words.fill_with(|| random.next_u64()),
        }
        words[0] = index;
        for change in 1..=version {
            self.change(page, index, change);
        }
    }

    /// Makes the `version`th change to page `index`, which holds the one before. Pages of zeros
    /// stay as they are.
    pub(crate) fn change(&self, page: &mut Page, index: u64, version: u32) {
        let words = &mut page.0;
        if words.iter().all(|&word| word == 0) {
            return;
        }
        let mut random = Random::new(self.seed ^ index ^ u64::from(version) << 40);
        for _ in 0..5 {
            let at = 1 + random.below(WORDS as u64 - 1) as usize;
            words[at] = words[at].rotate_left(8);
        }
        words[1] = u64::from(version);
    }
}

fn text(words: &mut [u64; WORDS], random: &mut Random) {
    // Room for what begins on the last byte: a phrase and a number.
    let mut buffer = [0u8; PAGE_SIZE + 96];
    // A page is about one thing, so it has few of the phrases.
    let first = random.below(PHRASES.len() as u64) as usize;
    let mut at = 0;
    while at < PAGE_SIZE {
        let phrase = PHRASES[(first + random.below(5) as usize) % PHRASES.len()].as_bytes();
        buffer[at..at + phrase.len()].copy_from_slice(phrase);
        at += phrase.len();
        let bits = 4 + random.below(20);
        let mut number = random.below(1 << bits);
        while number > 0 {
            buffer[at] = b'0' + (number % 10) as u8;
            at += 1;
            number /= 10;
        }
    }
    for (word, bytes) in words.iter_mut().zip(buffer.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
}

/// Records of four words: a pointer to a type, one to the heap, a length, flags.
fn records(words: &mut [u64; WORDS], random: &mut Random, index: u64) {
    let heap = 0x5555_0000_0000 + (index << 12);
    for record in words.chunks_exact_mut(4) {
        record[0] = 0x7f3c_8a00_1000 + random.below(12) * 0x140;
        record[1] = heap + random.below(1 << 10) * 64;
        record[2] = random.below(64);
        record[3] = 1 + random.below(3);
    }
}

fn small_integers(words: &mut [u64; WORDS], random: &mut Random) {
    for word in words {
        *word = random.below(200) | random.below(20) << 32;
    }
}

fn floats(words: &mut [u64; WORDS], random: &mut Random) {
    for word in words {
        *word = (random.below(4096) as f64 / 64.0).to_bits();
    }
}

/// An allocator's page with a few live objects in it.
fn partly_used(words: &mut [u64; WORDS], random: &mut Random) {
    words.fill(0);
    for object in words.chunks_exact_mut(16) {
        if random.below(3) == 0 {
            object[..6].fill_with(|| random.next_u64() >> 24);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_engine::CodecSpec;
    use compcache_engine::codec::{Builtin, CodecId, Codecs};
    use compcache_engine::page::same_filled;

    fn page(content: Content, index: u64, version: u32) -> Page {
        let mut page = Page([7; WORDS]);
        content.write(&mut page, index, version);
        page
    }

    #[test]
    fn pages_depend_on_seed_number_and_version_alone() {
        let content = Content::new(5);
        for index in 0..200 {
            let first = page(content, index, 2);
            assert!(first == page(content, index, 2));
            let mut changed = page(content, index, 1);
            content.change(&mut changed, index, 2);
            assert!(first == changed, "page {index}");
        }
    }

    /// Bytes that a codec makes of the first `count` pages after `version` changes, as a share.
    fn share(id: CodecId, count: u64, version: u32) -> f64 {
        let spec = CodecSpec::new(id).unwrap();
        let mut scratch = Builtin::scratch().unwrap();
        let mut out = [0; PAGE_SIZE];
        let mut bytes = 0;
        for index in 0..count {
            let page = page(Content::new(2006), index, version);
            let plain: Vec<u8> = page.0.iter().flat_map(|word| word.to_le_bytes()).collect();
            let plain: &[u8; PAGE_SIZE] = plain.as_slice().try_into().unwrap();
            let length = match same_filled(plain) {
                Some(_) => 0,
                None => {
                    let out = &mut out[..PAGE_SIZE / 4 * 3];
                    let length = Builtin::compress(spec, plain, &mut scratch, out);
                    length.unwrap_or(PAGE_SIZE)
                }
            };
            bytes += length;
        }
        bytes as f64 / (count * PAGE_SIZE as u64) as f64
    }

    /// Real anonymous pages: lz4 0.25 to 0.48, zstd 0.20 to 0.29 (docs of the codecs' bench).
    #[test]
    fn content_compresses_like_real_memory() {
        for version in [0, 2] {
            let lz4 = share(CodecId::Lz4, 2000, version);
            let zstd = share(CodecId::Zstd, 2000, version);
            assert!((0.25..0.42).contains(&lz4), "{lz4}");
            assert!((0.18..0.32).contains(&zstd), "{zstd}");
        }
    }

    #[test]
    fn pages_that_are_not_zero_differ_from_each_other() {
        let content = Content::new(1);
        let mut seen = std::collections::HashSet::new();
        let mut zero = 0;
        for index in 0..300 {
            for version in 0..3 {
                let page = page(content, index, version);
                if page.0.iter().all(|&word| word == 0) {
                    zero += 1;
                } else {
                    assert!(
                        seen.insert(page.0.to_vec()),
                        "page {index} version {version}"
                    );
                }
            }
        }
        assert!(zero > 0 && zero < 150, "{zero}");
    }
}
