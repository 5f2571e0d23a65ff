//! `wks`: "WK with strides", a word codec in the family of [`wkdm`](super::wkdm), with lz4 for
//! pages that are not made of words. `docs/wks.md` describes the format byte by byte.
//!
//! A page goes to lz4 at once if it is text, or if no stride makes enough of a sample of it equal
//! (`choose`). Otherwise its words are put into classes and streams, four blocks at a time, which
//! make up the chunk (`format`). What is true of each word, and the streams, are the business
//! of a path for the processor (`scalar`, `avx2`, `avx512`); the choice of classes from it
//! (`classes`) and the search for far words (`far`) serve all of them.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
mod choose;
mod classes;
mod far;
mod format;
mod path;
mod scalar;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod streams;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;

use self::far::Far;
use self::format::{KIND_LZ4, Parts};
use self::path::Path;
use super::{Codec, CodecId, Corrupt, Scratch};
use crate::page::Page;

/// Below so many equal halves, of [`choose::MOST`], the page goes to lz4.
const FEW_EQUAL: usize = choose::MOST * 35 / 100;

/// A chunk of more bytes is worth a try with lz4: at the fast level, and at the others.
const LARGE: [usize; 2] = [2800, 2400];

/// Working memory: 12 KiB.
#[derive(Debug)]
pub struct State {
    path: Path,
    parts: Box<Parts>,
    far: Box<Far>,
}

impl Default for State {
    fn default() -> Self {
        State {
            path: Path::best(),
            parts: Box::default(),
            far: Box::default(),
        }
    }
}

/// The codec.
#[derive(Debug)]
pub struct Wks;

impl Wks {
    /// The level at which only strides are searched.
    pub const FAST: i8 = 0;

    /// The level, and all above it, at which far words are searched too.
    pub const BALANCED: i8 = 1;
}

fn compress_lz4(page: &Page, scratch: &mut Scratch, out: &mut [u8]) -> Option<usize> {
    let (kind, out) = out.split_first_mut()?;
    *kind = KIND_LZ4;
    super::lz4::Lz4
        .compress(page, 0, scratch, out)
        .map(|n| n + 1)
}

impl Codec for Wks {
    fn id(&self) -> CodecId {
        CodecId::Wks
    }

    fn compress(
        &self,
        page: &Page,
        level: i8,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Option<usize> {
        let path = scratch.wks.path;
        if path.is_text(page) {
            return compress_lz4(page, scratch, out);
        }
        let (stride, equal) = path.stride(page);
        if equal < FEW_EQUAL {
            return compress_lz4(page, scratch, out);
        }
        let State { parts, far, .. } = &mut scratch.wks;
        let balanced = level >= Wks::BALANCED;
        let far = balanced.then_some(&mut **far);
        path.encode(page, stride, far, parts);
        let len = parts.chunk_len();
        if len > LARGE[usize::from(balanced)] {
            let most = out.len().min(len);
            if let Some(lz4) = compress_lz4(page, scratch, &mut out[..most]) {
                return Some(lz4);
            }
        }
        scratch.wks.parts.write(stride, out)
    }

    fn decompress(
        &self,
        chunk: &[u8],
        scratch: &mut Scratch,
        page: &mut Page,
    ) -> Result<(), Corrupt> {
        const CORRUPT: Corrupt = Corrupt {
            codec: CodecId::Wks,
        };
        match chunk.split_first() {
            Some((&KIND_LZ4, block)) => super::lz4::Lz4
                .decompress(block, scratch, page)
                .map_err(|_| CORRUPT),
            _ => {
                let State { path, parts, .. } = &mut scratch.wks;
                path.decode(chunk, parts, page).ok_or(CORRUPT)
            }
        }
    }
}
