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
use super::{Codec, CodecId, Corrupt, Scratch};
use crate::page::Page;

/// A token's field that says: more bytes follow.
const MORE: usize = 15;

/// Working memory: the hash table of the compressor, 16 KiB.
#[derive(Debug, Default)]
pub struct State {
    table: Table,
}

/// The codec.
#[derive(Debug)]
pub struct Lz4;

impl Codec for Lz4 {
    fn id(&self) -> CodecId {
        CodecId::Lz4
    }

    fn compress(&self, page: &Page, _: i8, scratch: &mut Scratch, out: &mut [u8]) -> Option<usize> {
        lz77::compress::<compress::Blocks>(&mut scratch.lz4.table, page, out)
    }

    fn decompress(&self, chunk: &[u8], _: &mut Scratch, page: &mut Page) -> Result<(), Corrupt> {
        decompress::decompress(chunk, page).ok_or(Corrupt {
            codec: CodecId::Lz4,
        })
    }
}
