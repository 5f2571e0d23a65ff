//! CRC-32C (Castagnoli), the checksum that every chunk's header carries.
//!
//! Polynomial 0x1EDC6F41, reflected, initial value and final exclusive-or all ones: the CRC of
//! iSCSI (RFC 3720, appendix B.4), ext4 and btrfs. In a chunk it
//! finds every burst of up to 32 bits and every error of up to three single bits.
//!
//! On x86-64 with SSE 4.2 (see [`Cpu`](crate::cpu::Cpu)) the `crc32` instruction
//! does the work. It takes 8 bytes a cycle but gives its result only after three, so three
//! lanes of the input are computed side by side and joined by a table look-up, as in
//! Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel,
//! 2011. Everywhere else eight bytes are looked up at a time ("slicing by 8", Kounavis and
//! Berry, 2005).

/// The polynomial with its bits reversed: bit 31 is the coefficient of x⁰.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `SLICE[k][b]` is the register after byte `b` and then `k` zero bytes, from a register of 0.
static SLICE: [[u32; 256]; 8] = slice_tables();

/// Continues the CRC-32C `seed` with `bytes`; a new checksum starts with a `seed` of 0.
///
/// `crc32c(crc32c(0, a), b)` is the checksum of `a` followed by `b`.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if crate::cpu::Cpu::has_sse42() {
        // SAFETY: this processor has SSE 4.2.
        return !unsafe { sse42::update(!seed, bytes) };
    }
    !update_by_table(!seed, bytes)
}

/// The register after `bytes`, by table look-up.
fn update_by_table(mut crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let x = u64::from_le_bytes(*word) ^ u64::from(crc);
        let mut next = 0;
        for (k, byte) in x.to_le_bytes().into_iter().enumerate() {
            next ^= SLICE[7 - k][usize::from(byte)];
        }
        crc = next;
    }
    for byte in rest {
        crc = SLICE[0][((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    }
    crc
}

const fn slice_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut b = 0;
    while b < 256 {
        let mut crc = b as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { POLYNOMIAL } else { 0 });
            bit += 1;
        }
        tables[0][b] = crc;
        b += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut b = 0;
        while b < 256 {
            let before = tables[k - 1][b];
            tables[k][b] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            b += 1;
        }
        k += 1;
    }
    tables
}

/// The `crc32` instruction of SSE 4.2, in three lanes.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod sse42 {
    use core::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};

    use super::slice_tables;

    /// Lengths of a lane in bytes, multiples of [`AT_A_TIME`] words. Three long rounds make up a page but for 64 bytes; two long
    /// ones and a middle one the longest chunk beside a backing store (3072 bytes); the short
    /// lane leaves less than 96 bytes of any chunk to the serial tail.
    const LONG: usize = 448;
    const MIDDLE: usize = 128;
    const SHORT: usize = 32;

    /// Words of each lane that are taken at a time.
    const AT_A_TIME: usize = 4;

    static SKIP_LONG: Skip = skip_table(LONG);
    static SKIP_MIDDLE: Skip = skip_table(MIDDLE);
    static SKIP_SHORT: Skip = skip_table(SHORT);

    /// What the register becomes by a lane of zero bytes: the exclusive-or of one entry for
    /// each of its four bytes (the map is linear).
    type Skip = [[u32; 256]; 4];

    /// The register after `bytes`. Safe code may call it only with SSE 4.2 enabled.
    ///
    /// Nothing is copied here: in a function that may use SSE and yet has no vector registers, as in the kernel's
    /// object, LLVM 21 makes copies of 16 bytes and more out of vectors, and then copies every second byte.
    #[target_feature(enable = "sse4.2")]
    pub(super) fn update(crc: u32, bytes: &[u8]) -> u32 {
        let (crc, bytes) = lanes::<LONG>(crc, bytes, &SKIP_LONG);
        let (crc, bytes) = lanes::<MIDDLE>(crc, bytes, &SKIP_MIDDLE);
        let (crc, bytes) = lanes::<SHORT>(crc, bytes, &SKIP_SHORT);
        let (words, rest) = bytes.as_chunks::<8>();
        let mut wide = u64::from(crc);
        for word in words {
            wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
        }
        let mut crc = wide as u32;
        for byte in rest {
            crc = _mm_crc32_u8(crc, *byte);
        }
        crc
    }

    /// Takes as many triples of `LANE` bytes as `bytes` holds; gives back what is left.
    #[target_feature(enable = "sse4.2")]
    #[inline]
    fn lanes<'a, const LANE: usize>(crc: u32, mut bytes: &'a [u8], skip: &Skip) -> (u32, &'a [u8]) {
        let mut crc = u64::from(crc);
        while let Some((triple, rest)) = bytes.split_at_checked(3 * LANE) {
            let (first, triple) = triple.split_at(LANE);
            let (second, third) = triple.split_at(LANE);
            let (mut crc2, mut crc3) = (0, 0);
            let steps = words_of(first).zip(words_of(second));
            for ((a, b), c) in steps.zip(words_of(third)) {
                for word in 0..AT_A_TIME {
                    crc = _mm_crc32_u64(crc, u64::from_le_bytes(a[word]));
                    crc2 = _mm_crc32_u64(crc2, u64::from_le_bytes(b[word]));
                    crc3 = _mm_crc32_u64(crc3, u64::from_le_bytes(c[word]));
                }
            }
            crc = skipped(crc as u32, skip) ^ crc2;
            crc = skipped(crc as u32, skip) ^ crc3;
            bytes = rest;
        }
        (crc as u32, bytes)
    }

    /// The words of a lane, so many at a time.
    #[inline]
    fn words_of(lane: &[u8]) -> impl Iterator<Item = &[[u8; 8]; AT_A_TIME]> {
        lane.as_chunks().0.as_chunks().0.iter()
    }

    /// The register after a lane of zero bytes.
    #[inline]
    fn skipped(crc: u32, skip: &Skip) -> u64 {
        let [a, b, c, d] = crc.to_le_bytes();
        u64::from(
            skip[0][usize::from(a)]
                ^ skip[1][usize::from(b)]
                ^ skip[2][usize::from(c)]
                ^ skip[3][usize::from(d)],
        )
    }

    const fn skip_table(lane: usize) -> Skip {
        let step = slice_tables();
        let mut table: Skip = [[0; 256]; 4];
        let mut bit = 0;
        while bit < 32 {
            let mut crc = 1 << bit;
            let mut n = 0;
            while n < lane {
                crc = step[0][(crc & 0xff) as usize] ^ (crc >> 8);
                n += 1;
            }
            // Every entry whose byte has this bit set takes its share.
            let mut b = 0;
            while b < 256 {
                if b >> (bit % 8) & 1 == 1 {
                    table[bit / 8][b] ^= crc;
                }
                b += 1;
            }
            bit += 1;
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use compcache_random::Random;
    use proptest::prelude::*;

    use super::*;

    fn by_bits(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c: u32, _| {
                (c >> 1) ^ (if c & 1 == 1 { POLYNOMIAL } else { 0 })
            })
        })
    }

    #[test]
    fn the_vectors_of_rfc_3720_come_out() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let read_command: [u8; 48] = [
            0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0,
            0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
        ];
        let vectors: [(&[u8], u32); 6] = [
            (&[0; 32], 0x8A91_36AA),
            (&[0xff; 32], 0x62A8_AB43),
            (&up, 0x46DD_794E),
            (&down, 0x113F_DB5C),
            (&read_command, 0xD996_3A56),
            (b"123456789", 0xE306_9283),
        ];
        for (bytes, crc) in vectors {
            assert_eq!(crc32c(0, bytes), crc, "{bytes:x?}");
            assert_eq!(!update_by_table(!0, bytes), crc, "{bytes:x?}");
        }
        assert_eq!(crc32c(0, &[]), 0);
    }

    #[test]
    fn instruction_and_tables_agree_on_every_length_and_alignment() {
        let mut bytes = [0; 5008];
        Random::new(1).fill(&mut bytes);
        for len in 0..=5000 {
            let at = len % 8;
            let part = &bytes[at..at + len];
            assert_eq!(
                crc32c(0x1234_5678, part),
                !update_by_table(!0x1234_5678, part),
                "{len}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_checksum_bit_by_bit(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = by_bits(&bytes);
            prop_assert_eq!(crc32c(0, &bytes), whole);
            prop_assert_eq!(crc32c(crc32c(0, a), b), whole);
            prop_assert_eq!(!update_by_table(update_by_table(!0, a), b), whole);
        }
    }
}
