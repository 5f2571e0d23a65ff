//! Makes a failing sequence short.

use super::op::Op;

/// No more sequences than this are tried.
const TRIES: u32 = 400;

/// A part of `ops`, in their order, that still fails: parts of half the length and shorter are
/// left out one after the other (delta debugging: Zeller and Hildebrandt, IEEE Transactions on
/// Software Engineering, 2002). Gives `ops` if none does.
pub(super) fn shrink(ops: &[Op], mut fails: impl FnMut(&[Op]) -> bool) -> Vec<Op> {
    let mut smallest = ops.to_vec();
    let mut part = smallest.len() / 2;
    let mut tries = 0;
    while part > 0 {
        let mut at = 0;
        while at < smallest.len() && tries < TRIES {
            let mut shorter = smallest.clone();
            shorter.drain(at..(at + part).min(smallest.len()));
            tries += 1;
            if fails(&shorter) {
                smallest = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let ops = Op::sequence(1);
        let wanted = [ops[3], ops[11]];
        let left = shrink(&ops, |part| wanted.iter().all(|op| part.contains(op)));
        assert_eq!(left, wanted);
    }
}
