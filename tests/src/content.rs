//! Pages whose content can be computed again from a seed, their index and a version, so that a
//! page that comes back wrong, old or in another's place is noticed.

use crate::Random;

/// A page of 64-bit words, at a page's place in memory.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(4096))]
pub struct Page(pub [u64; WORDS]);

impl Page {
    /// A page of zeros.
    #[must_use]
    pub fn zeros() -> Box<Page> {
        Box::new(Page([0; WORDS]))
    }

    /// Its bytes, placed as direct I/O needs them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a page is 4096 initialised bytes, borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of::<Page>()) }
    }

    /// A page of which no part is in any other: all words follow from the first, `tag`.
    #[must_use]
    pub fn tagged(tag: u64) -> Box<Page> {
        let mut page = Page::zeros();
        let mut random = Random::of(&[tag]);
        page.0.fill_with(|| random.next_u64());
        page.0[0] = tag;
        page
    }

    /// The tag of a page that is whole.
    #[must_use]
    pub fn tag(bytes: &[u8]) -> Option<u64> {
        let tag = u64::from_ne_bytes(*bytes.first_chunk()?);
        (Page::tagged(tag).bytes() == bytes).then_some(tag)
    }

    /// Its bytes, for direct I/O to read into.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: a page is 4096 initialised bytes, borrowed for as long as the slice, and any
        // bytes make a page.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), size_of::<Page>()) }
    }
}

/// Words in a page.
pub const WORDS: usize = 512;

/// What pages are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compresses to less than half with every codec: pointers that lie close together, and
    /// small numbers.
    Structured,
    /// Does not compress.
    Random,
    /// A quarter random, some pages of zeros and of one repeated word, the rest structured.
    Mixed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Structured, Kind::Random, Kind::Mixed];

    /// Its name, as the test's program takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Structured => "structured",
            Kind::Random => "random",
            Kind::Mixed => "mixed",
        }
    }

    /// Writes the content of page `index` in its version `version` to `page`.
    pub fn fill(self, page: &mut Page, seed: u64, index: u64, version: u64) {
        let mut random = Random::of(&[seed, index, version]);
        match (self, index % 16) {
            (Kind::Mixed, 0) => page.0.fill(0),
            (Kind::Mixed, 1) => page.0.fill(random.next_u64()),
            (Kind::Random, _) | (Kind::Mixed, 2..6) => {
                page.0.fill_with(|| random.next_u64());
            }
            _ => structured(page, &mut random),
        }
    }
}

/// A quarter pointers into one area, the rest small numbers.
fn structured(page: &mut Page, random: &mut Random) {
    let area = 0x7f00_0000_0000 | random.next_u64() & 0xff_ffff_f000;
    let small = random.next_u64() & 0xff;
    for (at, word) in page.0.iter_mut().enumerate() {
        *word = if at % 16 < 4 {
            area | random.next_u64() & 0x3f8
        } else {
            small
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(kind: Kind, seed: u64, index: u64, version: u64) -> Box<Page> {
        let mut page = Page::zeros();
        kind.fill(&mut page, seed, index, version);
        page
    }

    #[test]
    fn every_page_and_version_is_another() {
        for kind in Kind::ALL {
            let one = page(kind, 1, 7, 0);
            assert!(one == page(kind, 1, 7, 0), "{kind:?}");
            for other in [(2, 7, 0), (1, 8, 0), (1, 7, 1)] {
                assert!(one != page(kind, other.0, other.1, other.2), "{kind:?}");
            }
        }
    }

    #[test]
    fn mixed_pages_have_their_shares() {
        let same = |page: &Page| page.0.iter().all(|word| *word == page.0[0]);
        let distinct = |page: &Page| {
            let mut words = page.0.to_vec();
            words.sort_unstable();
            words.dedup();
            words.len()
        };
        let pages: Vec<_> = (0..16)
            .map(|index| page(Kind::Mixed, 1, index, 3))
            .collect();
        assert_eq!(pages[0].0, [0; WORDS]);
        assert!(same(&pages[1]) && pages[1].0[0] != 0);
        let random = pages.iter().filter(|page| distinct(page) == WORDS).count();
        assert_eq!(random, 4);
    }
}
