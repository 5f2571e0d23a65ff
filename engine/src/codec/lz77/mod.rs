//! What LZ4 and LZO have in common: both are LZ77 with byte-aligned codes.

mod bytes;
mod finder;
mod replay;
#[cfg(test)]
pub(super) mod testing;

pub(super) use bytes::{copy, load16, run_of_255, store16, zero_run};
pub(super) use finder::{Emit, MIN_MATCH, Sequence, Table, parse};
pub(super) use replay::Output;
