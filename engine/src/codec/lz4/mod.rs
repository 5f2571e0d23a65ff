//! `lz4`: the LZ4 block format (`doc/lz4_Block_format.md` of the LZ4 project).
//!
//! A block is a row of sequences. A sequence is a token, literals and a match:
//!
//! ```text
//! token        | more literals | literals | distance | more match
//! LLLL MMMM    | 255 255 … n   |          | LE16     | 255 255 … n
//! ```
//!
//! `L` counts literals, `M` + 4 the bytes of the match; 15 means that bytes follow which add
//! to it. The last sequence ends after its literals. Any LZ4 decoder reads what this one
//! writes, and this one reads any block of 4096 bytes without a dictionary.

mod compress;
mod decompress;
#[cfg(test)]
mod tests;

use super::lz77::{self, Table};
use crate::page::Page;

pub(super) use decompress::decompress;

/// A token's field that says: more bytes follow.
const MORE: usize = 15;

/// [`Codecs::compress`](super::Codecs::compress).
#[inline]
pub(super) fn compress(page: &Page, table: &mut Table, out: &mut [u8]) -> Option<usize> {
    lz77::compress::<compress::Blocks>(table, page, out, 1)
}

/// [`compress`] that looks at a fourth of the positions: in less time, to more bytes.
pub(super) fn compress_fast(page: &Page, table: &mut Table, out: &mut [u8]) -> Option<usize> {
    lz77::compress::<compress::Blocks>(table, page, out, 4)
}
