//! The choice of words' classes, the same for all paths: of four blocks at once, a bit for each
//! word.

use super::sizes::{GROUP, LANES};

/// What is true of the words of a group: a bit for each word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It is not its reference.
    pub(super) some: u64,
    /// It differs from its reference above the low 8 bits.
    pub(super) over_8: u64,
    /// It differs from its reference above the low 16 bits.
    pub(super) over_16: u64,
    /// It is 0; undefined for words that do not differ from their references above the low 8 bits.
    pub(super) zero: u64,
    /// It is below 256; undefined for the same words.
    pub(super) small: u64,
}

/// What is true of those of [`Facts::sought`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Its far word is in reach, and the same.
    pub(super) equal: u64,
    /// Its far word is in reach, and differs in the low 8 bits at most.
    pub(super) near: u64,
}

/// The classes of a group's words: a bit for each word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Classes {
    /// The first plane.
    pub(super) p0: u64,
    /// The second plane.
    pub(super) p1: u64,
    /// The third plane; 0 in blocks that have none.
    pub(super) p2: u64,
}

impl Facts {
    /// The classes that need no third plane.
    #[inline(always)]
    fn plain(self) -> Classes {
        Classes {
            p0: (self.some & !self.over_8) | self.over_16,
            p1: self.over_8,
            p2: 0,
        }
    }

    /// The words that a far word can save bytes for.
    #[inline(always)]
    pub(super) fn sought(self) -> u64 {
        self.over_8 & !self.small
    }

    /// The classes that take fewer bytes, and a bit for each block that has a third plane.
    #[inline(always)]
    pub(super) fn best(self, found: Found) -> (Classes, u64) {
        // What the third plane may change: words that differ above their low 8 bits.
        let zero = self.over_8 & self.zero;
        let u = self.over_8 & self.small & !self.zero;
        let f = found.equal;
        let p = self.over_16 & found.near & !f;
        // A word of class Z, U or F saves one byte, two if it is 0; two more if it were of
        // class L, as does one of class P.
        let saving = zero | u | f;
        let blocks = three(saving, zero, (saving | p) & self.over_16);
        let third = blocks * 0xffff;
        // Such blocks' low bits side by side.
        let thirds = blocks.wrapping_mul(1 << 48 | 1 << 33 | 1 << 18 | 1 << 3) >> 48;
        let plain = self.plain();
        let classes = Classes {
            p0: (plain.p0 & !(third & (saving | p))) | (third & (f | u)),
            p1: plain.p1 & !(third & (zero | f)),
            p2: third & (saving | p),
        };
        (classes, thirds % (1 << GROUP))
    }
}

/// The low bit of each block of which the sum of the words in `a`, in `b`, and twice of those
/// in `c`, is three or more.
#[inline(always)]
fn three(a: u64, b: u64, c: u64) -> u64 {
    const _: () = assert!(LANES == 16 && GROUP == 4);
    // Numbers of bits in 2, 4, 8 and 16 bits side by side.
    let four = |set: u64| {
        let two = set - (set >> 1 & 0x5555_5555_5555_5555);
        (two & 0x3333_3333_3333_3333) + (two >> 2 & 0x3333_3333_3333_3333)
    };
    let eight = |four: u64| (four & 0x0f0f_0f0f_0f0f_0f0f) + (four >> 4 & 0x0f0f_0f0f_0f0f_0f0f);
    let sum = eight(four(a) + four(b)) + 2 * eight(four(c));
    let sum = (sum & 0x00ff_00ff_00ff_00ff) + (sum >> 8 & 0x00ff_00ff_00ff_00ff);
    ((sum + 0x7ffd_7ffd_7ffd_7ffd) >> 15) & 0x0001_0001_0001_0001
}

impl Classes {
    /// The words of class L.
    #[inline(always)]
    pub(super) fn words(self) -> u64 {
        self.p0 & self.p1 & !self.p2
    }

    /// The words of classes H and P.
    #[inline(always)]
    pub(super) fn halves(self) -> u64 {
        self.p1 & !self.p0
    }

    /// The words of classes T, F and U.
    #[inline(always)]
    pub(super) fn bytes(self) -> u64 {
        self.p0 & (!self.p1 | self.p2)
    }

    /// The words of class F.
    #[inline(always)]
    pub(super) fn far(self) -> u64 {
        self.p2 & self.p0 & !self.p1
    }

    /// The words of class P.
    #[inline(always)]
    pub(super) fn far_high(self) -> u64 {
        self.p2 & self.p1 & !self.p0
    }
}
