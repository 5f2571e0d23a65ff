//! The choice of a block's classes at the balanced level, the same for all paths.

use super::format::Counts;

/// What is true of the words of a block: a bit for each word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It is not its reference.
    pub(super) some: u16,
    /// It differs from its reference above the low 8 bits.
    pub(super) over_8: u16,
    /// It differs from its reference above the low 16 bits.
    pub(super) over_16: u16,
    /// It is 0.
    pub(super) zero: u16,
    /// It is below 256.
    pub(super) small: u16,
    /// Its far word is in reach, and the same.
    pub(super) equal: u16,
    /// Its far word is in reach, and differs in the low 8 bits at most.
    pub(super) near: u16,
}

/// The classes of a block's words: a bit for each word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Classes {
    /// The first plane.
    pub(super) p0: u16,
    /// The second plane.
    pub(super) p1: u16,
    /// The third plane; 0 where the block has none.
    pub(super) p2: u16,
    /// Whether the block has a third plane.
    pub(super) with_third: bool,
}

impl Facts {
    /// The classes that need no third plane.
    #[inline(always)]
    pub(super) fn plain(self) -> Classes {
        Classes {
            p0: (self.some & !self.over_8) | self.over_16,
            p1: self.over_8,
            p2: 0,
            with_third: false,
        }
    }

    /// The classes that take fewer bytes.
    #[inline(always)]
    pub(super) fn best(self) -> Classes {
        let plain = self.plain();
        let byte = self.some & !self.over_8;
        // What the third plane may change: words that differ above their low 8 bits.
        let zero = self.over_8 & self.zero;
        let u = self.over_8 & self.small & !self.zero;
        let f = self.over_8 & self.equal & !self.small;
        let left = self.over_8 & !(self.small | self.equal);
        let h = left & !self.over_16;
        let p = left & self.over_16 & self.near;
        let l = left & self.over_16 & !self.near;
        let third = Classes {
            p0: byte | l | f | u,
            p1: h | l | p | u,
            p2: zero | f | p | u,
            with_third: true,
        };
        let with_third = third.cost() + 2 < plain.cost();
        let all = u16::from(with_third).wrapping_neg();
        Classes {
            p0: plain.p0 ^ ((plain.p0 ^ third.p0) & all),
            p1: plain.p1 ^ ((plain.p1 ^ third.p1) & all),
            p2: third.p2 & all,
            with_third,
        }
    }
}

impl Classes {
    /// The words of class L.
    #[inline(always)]
    pub(super) fn words(self) -> u16 {
        self.p0 & self.p1 & !self.p2
    }

    /// The words of classes H and P.
    #[inline(always)]
    pub(super) fn halves(self) -> u16 {
        self.p1 & !self.p0
    }

    /// The words of classes T, F and U.
    #[inline(always)]
    pub(super) fn bytes(self) -> u16 {
        self.p0 & (!self.p1 | self.p2)
    }

    /// The words of class F.
    #[inline(always)]
    pub(super) fn far(self) -> u16 {
        self.p2 & self.p0 & !self.p1
    }

    /// The words of class P.
    #[inline(always)]
    pub(super) fn far_high(self) -> u16 {
        self.p2 & self.p1 & !self.p0
    }

    /// Bytes in the streams.
    #[inline(always)]
    fn cost(self) -> usize {
        let mut counts = Counts::default();
        counts.add(self.p0.into(), self.p1.into(), self.p2.into());
        counts.stream_len()
    }
}
