//! What can be done to files, and random sequences of it.

use crate::Random;

/// Files have one of so many names.
pub(super) const NAMES: u8 = 4;
/// No file gets larger than this.
pub(super) const LARGEST: u64 = 1 << 20;
/// Page size; most boundaries that matter are at multiples of it.
const PAGE: u64 = 4096;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Made if it is not there.
    Create,
    /// Made if it is not there, emptied if it is.
    Truncate,
    /// Every write goes to the end.
    Append,
    /// For reading only.
    Read,
    /// Past the kernel's page cache; places and lengths are rounded to pages.
    Direct,
}

/// What allocate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Allocate {
    /// Room, up to a larger size.
    Grow,
    /// Room, the size stays.
    Keep,
    /// A hole.
    Punch,
    /// Zeros, up to a larger size.
    Zero,
    /// Zeros, the size stays.
    ZeroKeep,
}

/// What bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Zeros.
    Zeros,
    /// The same byte.
    Byte(u8),
    /// Bytes that compress well.
    Text(u64),
    /// Bytes that do not compress.
    Noise(u64),
}

impl Fill {
    /// `length` bytes.
    pub(super) fn bytes(self, length: usize) -> Vec<u8> {
        match self {
            Fill::Zeros => vec![0; length],
            Fill::Byte(byte) => vec![byte; length],
            Fill::Text(seed) => {
                let words: Vec<u64> = (0..16).map(|n| Random::of(&[seed, n]).next_u64()).collect();
                let mut random = Random::of(&[seed]);
                let mut bytes = Vec::with_capacity(length + 8);
                while bytes.len() < length {
                    bytes.extend_from_slice(&random.pick(&words).to_le_bytes());
                }
                bytes.truncate(length);
                bytes
            }
            Fill::Noise(seed) => {
                let mut bytes = vec![0; length];
                Random::of(&[seed]).fill(&mut bytes);
                bytes
            }
        }
    }
}

/// One operation. A `handle` counts through the files that are open (modulo their number); if
/// none is, or a name is not there, nothing is done: so every part of a sequence is a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Opens a file.
    Open { name: u8, how: How },
    /// Closes one.
    Close { handle: u8 },
    /// Reads.
    Read { handle: u8, at: u64, length: u64 },
    /// Writes.
    Write {
        handle: u8,
        at: u64,
        length: u64,
        fill: Fill,
    },
    /// Changes the size of an open file.
    Truncate { handle: u8, size: u64 },
    /// Changes the size of a file by its name.
    TruncateName { name: u8, size: u64 },
    /// fallocate(2).
    Allocate {
        handle: u8,
        what: Allocate,
        at: u64,
        length: u64,
    },
    /// fsync(2) or fdatasync(2).
    Sync { handle: u8, data_only: bool },
    /// Reads through a shared mapping that stays until the file is closed.
    MapRead { handle: u8, at: u64, length: u64 },
    /// Writes through that mapping.
    MapWrite {
        handle: u8,
        at: u64,
        length: u64,
        fill: Fill,
        sync: bool,
    },
    /// lseek(2) to data or to a hole.
    Seek { handle: u8, at: u64, hole: bool },
    /// copy_file_range(2).
    Copy {
        from: u8,
        from_at: u64,
        to: u8,
        to_at: u64,
        length: u64,
    },
    /// Renames over whatever has the new name.
    Rename { from: u8, to: u8 },
    /// Exchanges two names.
    Exchange { one: u8, other: u8 },
    /// Gives a file a second name.
    Link { from: u8, to: u8 },
    /// Takes a name away, be the file open or not.
    Unlink { name: u8 },
    /// Makes the kernel drop its clean pages of the file.
    Drop { handle: u8 },
    /// Sets the time of modification.
    SetTime {
        handle: u8,
        seconds: u32,
        nanoseconds: u32,
    },
    /// Looks at an open file's size and time.
    Stat { handle: u8 },
    /// Looks for a name, and compares what SOURCE has of it if that is known.
    Look { name: u8 },
}

/// A place in a file: mostly near its beginning, often at the edge of a page.
fn place(random: &mut Random) -> u64 {
    let range = match random.below(20) {
        0..10 => 16 << 10,
        10..17 => 128 << 10,
        _ => LARGEST - (300 << 10),
    };
    let any = random.below(range);
    match random.below(4) {
        0 => any & !(PAGE - 1),
        1 => (any & !(PAGE - 1)) + random.pick(&[1, 7, PAGE / 2, PAGE - 1]),
        _ => any,
    }
}

/// A length, at least 1.
fn length(random: &mut Random) -> u64 {
    match random.below(16) {
        0..5 => 1 + random.below(64),
        5..8 => 1 + random.below(PAGE),
        8..10 => PAGE,
        10..12 => PAGE * (1 + random.below(8)),
        12..15 => 1 + random.below(40 << 10),
        _ => 1 + random.below(300 << 10),
    }
}

fn fill(random: &mut Random) -> Fill {
    match random.below(8) {
        0 => Fill::Zeros,
        1 => Fill::Byte(random.next_u64() as u8),
        2..6 => Fill::Text(random.next_u64()),
        _ => Fill::Noise(random.next_u64()),
    }
}

fn size(random: &mut Random) -> u64 {
    if random.below(5) == 0 {
        0
    } else {
        place(random)
    }
}

impl Op {
    /// Any operation.
    fn any(random: &mut Random) -> Op {
        let handle = random.below(8) as u8;
        let name = random.below(NAMES.into()) as u8;
        let other = random.below(NAMES.into()) as u8;
        match random.below(100) {
            0..9 => Op::Open {
                name,
                how: random.pick(&[
                    How::Create,
                    How::Create,
                    How::Create,
                    How::Truncate,
                    How::Append,
                    How::Read,
                    How::Direct,
                ]),
            },
            9..13 => Op::Close { handle },
            13..31 => Op::Read {
                handle,
                at: place(random),
                length: length(random),
            },
            31..51 => Op::Write {
                handle,
                at: place(random),
                length: length(random),
                fill: fill(random),
            },
            51..55 => Op::Truncate {
                handle,
                size: size(random),
            },
            55..56 => Op::TruncateName {
                name,
                size: size(random),
            },
            56..61 => Op::Allocate {
                handle,
                what: random.pick(&[
                    Allocate::Grow,
                    Allocate::Keep,
                    Allocate::Punch,
                    Allocate::Punch,
                    Allocate::Zero,
                    Allocate::ZeroKeep,
                ]),
                at: place(random),
                length: length(random),
            },
            61..63 => Op::Sync {
                handle,
                data_only: random.below(2) == 0,
            },
            63..68 => Op::MapRead {
                handle,
                at: place(random),
                length: length(random),
            },
            68..73 => Op::MapWrite {
                handle,
                at: place(random),
                length: length(random),
                fill: fill(random),
                sync: random.below(2) == 0,
            },
            73..77 => Op::Seek {
                handle,
                at: place(random),
                hole: random.below(2) == 0,
            },
            77..80 => Op::Copy {
                from: handle,
                from_at: place(random),
                to: random.below(8) as u8,
                to_at: place(random),
                length: length(random),
            },
            80..82 => Op::Rename {
                from: name,
                to: other,
            },
            82..83 => Op::Exchange { one: name, other },
            83..84 => Op::Link {
                from: name,
                to: other,
            },
            84..86 => Op::Unlink { name },
            86..91 => Op::Drop { handle },
            91..93 => Op::SetTime {
                handle,
                seconds: 1_000_000_000 + random.below(1_000_000_000) as u32,
                nanoseconds: random.below(1_000_000_000) as u32,
            },
            93..96 => Op::Stat { handle },
            _ => Op::Look { name },
        }
    }

    /// The sequence of a seed.
    #[must_use]
    pub(super) fn sequence(seed: u64) -> Vec<Op> {
        let mut random = Random::of(&[seed]);
        let count = 20 + random.below(60);
        let first = Op::Open {
            name: 0,
            how: How::Create,
        };
        std::iter::once(first)
            .chain((0..count).map(|_| Op::any(&mut random)))
            .collect()
    }
}
