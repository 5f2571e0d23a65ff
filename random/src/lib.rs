//! Random numbers that are the same on every machine: for the load that demo and benches make, and for
//! tests.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014; constants of Vigna's public-domain version). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        // Neighbouring seeds would otherwise be neighbouring states.
        random.0 = random.next_u64();
        random
    }

    /// A sequence of its own for each list of numbers.
    #[must_use]
    pub fn of(parts: &[u64]) -> Self {
        let mut random = Random(0);
        for part in parts {
            random.0 ^= part.wrapping_mul(0xd134_2543_de82_ef95);
            random.0 = random.next_u64();
        }
        random
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, nearly uniform (Lemire's multiplication); 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An index below `length`; 0 for a length of 0.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_values() {
        // The first values of splitmix64.c for the state 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn lists_of_numbers_have_sequences_of_their_own() {
        let first = |parts: &[u64]| Random::of(parts).next_u64();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }

    #[test]
    fn bytes_are_those_of_the_numbers() {
        let mut bytes = [0; 11];
        Random::new(3).fill(&mut bytes);
        let mut random = Random::new(3);
        assert_eq!(bytes[..8], random.next_u64().to_le_bytes());
        assert_eq!(bytes[8..], random.next_u64().to_le_bytes()[..3]);
    }

    #[test]
    fn below_is_below() {
        let mut random = Random::new(0);
        assert!((0..1000).all(|bound| bound == 0 || random.below(bound) < bound));
        assert_eq!(random.below(0), 0);
    }
}
