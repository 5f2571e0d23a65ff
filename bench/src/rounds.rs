//! The core of every comparison: contenders that alternate in rounds, medians of what they did, and
//! ratios of what two of them did in the same round.

use std::fmt::Display;

use anyhow::Result;

use crate::interrupt;
use crate::stat::median;

/// What one contender did, by round.
#[derive(Clone, Debug)]
pub(crate) struct Runs<R>(Vec<(usize, R)>);

impl<R> Runs<R> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &R> {
        self.0.iter().map(|(_, run)| run)
    }

    pub(crate) fn median(&self, value: impl Fn(&R) -> f64) -> f64 {
        median(self.iter().map(value).collect())
    }

    /// A value divided by a peer's in the same round, for each round that both have.
    pub(crate) fn ratios(&self, peer: &Runs<R>, value: impl Fn(&R) -> f64) -> Vec<f64> {
        let of_peer = |round| peer.0.iter().find(|(other, _)| *other == round);
        self.0
            .iter()
            .filter_map(|(round, run)| Some(value(run) / value(&of_peer(*round)?.1)))
            .collect()
    }

    /// The median of these; NaN if they share no round.
    pub(crate) fn ratio(&self, peer: &Runs<R>, value: impl Fn(&R) -> f64) -> f64 {
        median(self.ratios(peer, value))
    }
}

impl<R> Default for Runs<R> {
    fn default() -> Self {
        Runs(Vec::new())
    }
}

impl<R> FromIterator<R> for Runs<R> {
    /// Runs of the rounds 0, 1, and so on.
    fn from_iter<T: IntoIterator<Item = R>>(runs: T) -> Self {
        Runs(runs.into_iter().enumerate().collect())
    }
}

/// What becomes of the comparison if a contender fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It fails too.
    Ends,
    /// The contender is left out of this and the following rounds.
    LeavesOut,
    /// The contender is left out of this round.
    Skips,
}

#[derive(Debug)]
pub(crate) struct Comparison<R> {
    pub(crate) runs: Vec<Runs<R>>,
    pub(crate) left_out: Vec<(String, String)>,
}

/// Runs each contender once a round: forwards in the even rounds, backwards in the odd ones, so that
/// none always comes after the same other one. With a `title`, each run is announced on standard
/// error; what is left out always is.
pub(crate) fn alternate<C: Display, R>(
    title: Option<&str>,
    contenders: &mut [C],
    rounds: usize,
    failure: Failure,
    mut run: impl FnMut(&mut C, usize) -> Result<R>,
) -> Result<Comparison<R>> {
    let mut runs: Vec<Runs<R>> = contenders.iter().map(|_| Runs::default()).collect();
    let mut left_out = Vec::new();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            interrupt::check()?;
            if failure == Failure::LeavesOut && runs[at].len() < round {
                continue;
            }
            let (contender, number) = (&mut contenders[at], round + 1);
            if let Some(title) = title {
                eprintln!("{title}, round {number} of {rounds}: {contender}");
            }
            match run(contender, round) {
                Ok(run) => runs[at].0.push((round, run)),
                Err(error) if failure == Failure::Ends => {
                    return Err(error.context(contender.to_string()));
                }
                Err(error) => {
                    interrupt::check()?;
                    let title = title.map_or_else(String::new, |title| format!("{title}, "));
                    let what = format!("{title}{contender}, round {number}");
                    eprintln!("{what}: left out, {error:#}");
                    left_out.push((what, format!("{error:#}")));
                }
            }
        }
    }
    Ok(Comparison { runs, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    /// Three rounds of "a" and "b", of which "b" fails in the second; what ran, in order.
    fn compare(failure: Failure) -> (Result<Comparison<f64>>, Vec<String>) {
        let mut ran = Vec::new();
        let compared = alternate(None, &mut ["a", "b"], 3, failure, |name, round| {
            ran.push(format!("{name}{round}"));
            match (&**name, round) {
                ("b", 1) => bail!("it broke"),
                ("b", _) => Ok(10.0),
                _ => Ok([2.0, 4.0, 5.0][round]),
            }
        });
        (compared, ran)
    }

    #[test]
    fn contenders_alternate_and_are_compared_within_a_round() {
        let (compared, ran) = compare(Failure::Skips);
        assert_eq!(ran, ["a0", "b0", "b1", "a1", "a2", "b2"]);
        let Comparison { runs, left_out } = compared.unwrap();
        assert_eq!(left_out, [("b, round 2".to_owned(), "it broke".to_owned())]);
        assert_eq!((runs[0].len(), runs[1].len()), (3, 2));
        assert_eq!(runs[0].median(|&value| value), 4.0);
        assert_eq!(runs[0].ratios(&runs[1], |&value| value), [0.2, 0.5]);
        assert_eq!(runs[0].ratio(&runs[1], |&value| value), 0.35);
        assert!(runs[0].ratio(&Runs::default(), |&value| value).is_nan());
    }

    #[test]
    fn a_failure_ends_it_or_leaves_one_out() {
        let (compared, ran) = compare(Failure::Ends);
        assert_eq!(format!("{:#}", compared.unwrap_err()), "b: it broke");
        assert_eq!(ran, ["a0", "b0", "b1"]);
        let (compared, ran) = compare(Failure::LeavesOut);
        assert_eq!(ran, ["a0", "b0", "b1", "a1", "a2"]);
        assert_eq!(compared.unwrap().runs[1].len(), 1);
    }
}
