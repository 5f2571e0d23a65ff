//! Which pages are touched.

use compcache_random::Random;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Choice {
    /// Any is as likely as any other.
    Uniform,
    /// Four of five lie in the first fifth.
    Skewed,
    /// By Zipf's law with this exponent.
    Zipf(f64),
}

#[derive(Clone, Debug)]
pub(super) struct Chooser {
    pub(super) choice: Choice,
    pub(super) pages: usize,
    zipf: Option<Zipf>,
}

impl Chooser {
    /// For `pages` pages, 1 or more.
    pub(super) fn new(choice: Choice, pages: usize) -> Self {
        let zipf = match choice {
            // The same pages are popular each time.
            Choice::Zipf(theta) => {
                let mut random = Random::new(pages as u64);
                Some(Zipf::new(pages as u32, theta, &mut random))
            }
            _ => None,
        };
        Chooser {
            choice,
            pages,
            zipf,
        }
    }

    pub(super) fn next(&self, random: &mut Random) -> usize {
        match &self.zipf {
            Some(zipf) => zipf.next(random) as usize,
            None if self.choice == Choice::Skewed && random.below(5) < 4 => {
                random.index(self.pages.div_ceil(5))
            }
            None => random.index(self.pages),
        }
    }
}

/// Draws numbers below a bound by Zipf's law: the k-th most frequent one with a weight of
/// 1/k^theta. Which number is how frequent is random too.
#[derive(Clone, Debug)]
struct Zipf {
    /// The sums of the weights up to each rank, the last of them 1.
    sums: Vec<f64>,
    numbers: Vec<u32>,
}

impl Zipf {
    /// For numbers below `bound`, 1 or more.
    fn new(bound: u32, theta: f64, random: &mut Random) -> Zipf {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=bound)
            .map(|rank| {
                sum += f64::from(rank).powf(-theta);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|part| *part /= sum);
        let mut numbers: Vec<u32> = (0..bound).collect();
        for at in (1..numbers.len()).rev() {
            numbers.swap(at, random.index(at + 1));
        }
        Zipf { sums, numbers }
    }

    fn next(&self, random: &mut Random) -> u32 {
        // 53 bits are what a double holds.
        let point = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = self.sums.partition_point(|&sum| sum <= point);
        self.numbers[rank.min(self.numbers.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_law() {
        let mut random = Random::new(1);
        let zipf = Zipf::new(1000, 0.99, &mut random);
        let mut counts = vec![0_u32; 1000];
        for _ in 0..200_000 {
            counts[zipf.next(&mut random) as usize] += 1;
        }
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        // The sum of the weights is 7.73.
        let share = f64::from(counts[0]) / 200_000.0;
        assert!((share - 1.0 / 7.73).abs() < 0.01, "{share}");
        let first_ten: u32 = counts[..10].iter().sum();
        let share = f64::from(first_ten) / 200_000.0;
        assert!((share - 2.96 / 7.73).abs() < 0.02, "{share}");
    }

    #[test]
    fn four_of_five_and_some_more_are_in_the_first_fifth() {
        let mut random = Random::new(1);
        let chooser = Chooser::new(Choice::Skewed, 100);
        let chosen = (0..10_000).map(|_| chooser.next(&mut random));
        let first = chosen.filter(|&page| page < 20).count();
        assert!((8200..8600).contains(&first), "{first}");
    }
}
