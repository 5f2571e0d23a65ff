//! The unit of everything: a page of 4096 bytes.

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

/// 64-bit words in a page.
const WORDS: usize = PAGE_SIZE / 8;

/// The bytes of one page.
pub type Page = [u8; PAGE_SIZE];

/// A page of zeros, which is what a page that was never written reads as.
pub static ZERO_PAGE: Page = [0; PAGE_SIZE];

/// Reads the `i`-th native-endian 64-bit word of a page.
#[inline]
fn word(page: &Page, i: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[i * 8..i * 8 + 8]);
    u64::from_ne_bytes(bytes)
}

/// The 64-bit word that the whole page repeats, if there is one.
///
/// Most pages differ early, so the last word is compared before the rest is read
/// (the trick of `page_same_filled` in the Linux kernel's `zram_drv.c`).
#[must_use]
pub fn same_filled(page: &Page) -> Option<u64> {
    let first = word(page, 0);
    if word(page, WORDS - 1) != first {
        return None;
    }
    // Blocks of eight words without a branch inside let the compiler use vector registers.
    for block in page.chunks_exact(64) {
        let mut differ = 0;
        for bytes in block.chunks_exact(8) {
            let mut w = [0; 8];
            w.copy_from_slice(bytes);
            differ |= u64::from_ne_bytes(w) ^ first;
        }
        if differ != 0 {
            return None;
        }
    }
    Some(first)
}

/// Fills a page with a repeated 64-bit word: the inverse of [`same_filled`].
pub fn fill(page: &mut Page, value: u64) {
    let bytes = value.to_ne_bytes();
    for w in page.chunks_exact_mut(8) {
        w.copy_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_word_is_found_and_restored() {
        for value in [0, 1, u64::MAX, 0x0102_0304_0506_0708] {
            let mut page = [0xaa; PAGE_SIZE];
            fill(&mut page, value);
            assert_eq!(same_filled(&page), Some(value));
        }
    }

    #[test]
    fn one_different_byte_anywhere_is_seen() {
        for at in 0..PAGE_SIZE {
            let mut page = [7; PAGE_SIZE];
            page[at] = 8;
            assert_eq!(same_filled(&page), None, "byte {at}");
        }
    }
}
