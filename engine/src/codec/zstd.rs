//! Zstd (being written: stores nothing yet).
use super::{Codec, CodecId, Corrupt, Scratch};
use crate::page::Page;

/// Working memory.
#[derive(Debug, Default)]
pub struct State;

/// The codec.
#[derive(Debug)]
pub struct Zstd;

impl Codec for Zstd {
    fn id(&self) -> CodecId {
        CodecId::Zstd
    }

    fn compress(&self, _: &Page, _: i8, _: &mut Scratch, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn decompress(&self, _: &[u8], _: &mut Scratch, _: &mut Page) -> Result<(), Corrupt> {
        Err(Corrupt {
            codec: CodecId::Zstd,
        })
    }
}
