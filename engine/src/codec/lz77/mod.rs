//! What LZ4 and LZO have in common: both are LZ77 with byte-aligned codes.

mod bytes;
mod finder;
mod replay;
#[cfg(test)]
pub(super) mod testing;
mod writer;

pub(super) use bytes::{copy, load16, load64, run_of_255, store16, zero_run};
pub(super) use finder::{Format, MIN_MATCH, Packed, Sequence, Table, compress};
pub(super) use replay::Output;
pub(super) use writer::Writer;
