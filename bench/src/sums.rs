//! Checksums of pages: what is read is what was written.

use compcache_engine::Page;

/// An odd constant with no pattern in its bits: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A checksum of some bytes. Each word changes the state one to one, so that one changed word
/// always changes the sum. Not for secrets.
#[inline]
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words
        .iter()
        .chain([&last])
        .fold(bytes.len() as u64, |sum, word| {
            (sum.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD)
        })
}

/// A checksum of pages and their order.
pub(crate) fn of_pages<'a>(pages: impl Iterator<Item = &'a Page>) -> u64 {
    let sums: Vec<u8> = pages.flat_map(|page| of(page).to_le_bytes()).collect();
    of(&sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_changes_the_sum() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in [0, 1, 8, 9, 100] {
            let sum = of(&bytes[..length]);
            for at in 0..length {
                let mut changed = bytes[..length].to_vec();
                changed[at] ^= 1;
                assert_ne!(of(&changed), sum, "{length}, {at}");
            }
        }
        assert_ne!(of(&[0; 8]), of(&[0; 9]));
    }
}
