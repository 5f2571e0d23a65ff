//! Wkdm (being written: stores nothing yet).
use super::{Codec, CodecId, Corrupt, Scratch};
use crate::page::Page;

/// Working memory.
#[derive(Debug, Default)]
pub struct State;

/// The codec.
#[derive(Debug)]
pub struct Wkdm;

impl Codec for Wkdm {
    fn id(&self) -> CodecId {
        CodecId::Wkdm
    }

    fn compress(&self, _: &Page, _: i8, _: &mut Scratch, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn decompress(&self, _: &[u8], _: &mut Scratch, _: &mut Page) -> Result<(), Corrupt> {
        Err(Corrupt {
            codec: CodecId::Wkdm,
        })
    }
}
