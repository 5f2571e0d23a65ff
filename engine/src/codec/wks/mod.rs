//! `wks`: "WK with strides", a word codec in the family of [`wkdm`](super::wkdm), with lz4 for
//! pages that are not made of words. `docs/wks.md` describes the format byte by byte.
//!
//! A page goes to lz4 at once if no stride makes enough of a sample of it equal, or if it is text
//! (`choose`). Otherwise its words are put into classes and streams, four blocks at a time, which
//! make up the chunk (`format`). What is true of each word, and the streams, are the business
//! of a path for the processor (`avx2`, `avx512`, and `scalar`, with `narrow` if the build target
//! has no vector registers); the choice of classes from it (`classes`) and the search for far words
//! (`far`) serve all of them.

// Targets without SSE registers, such as kernels, cannot compile intrinsics of wider ones.
#[cfg(all(
    target_arch = "x86_64",
    any(feature = "std", all(feature = "simd", target_feature = "sse2"))
))]
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
mod choose;
mod classes;
mod far;
mod format;
mod narrow;
mod path;
mod sample;
mod scalar;
mod sizes;
#[cfg(all(
    target_arch = "x86_64",
    any(feature = "std", all(feature = "simd", target_feature = "sse2"))
))]
mod streams;
#[cfg(test)]
mod tests;

use self::far::Far;
use self::format::{KIND_LZ4, Parts};
use super::lz4;
use super::lz77::Table;
use crate::page::Page;

pub(super) use self::path::Path;

/// The level at which only strides are searched.
pub(super) const FAST: i8 = 0;

/// The level, and all above it, at which far words are searched too.
pub(super) const BALANCED: i8 = 1;

/// Below so many equal halves, of [`sample::MOST`], the page goes to lz4.
const FEW_EQUAL: usize = sample::MOST * 35 / 100;

/// Words with so many equal halves are packed well even if they are text.
const MANY_EQUAL: usize = sample::MOST * 5 / 8;

/// A chunk of more bytes is worth a try with lz4: at the fast level, and at the others.
const LARGE: [usize; 2] = [2800, 2400];

/// Working memory: 11 KiB, all zero at first.
pub(super) struct State {
    parts: Parts,
    far: Far,
}

impl State {
    /// Whether any page was compressed with it.
    #[cfg(test)]
    pub(super) fn is_touched(&self) -> bool {
        self.parts.counts != format::Counts::default()
    }
}

fn compress_lz4(page: &Page, level: i8, table: &mut Table, out: &mut [u8]) -> Option<usize> {
    let (kind, out) = out.split_first_mut()?;
    *kind = KIND_LZ4;
    let length = if level >= BALANCED {
        lz4::compress(page, table, out)
    } else {
        lz4::compress_fast(page, table, out)
    };
    length.map(|n| n + 1)
}

/// [`Codecs::compress`](super::Codecs::compress).
pub(super) fn compress(
    page: &Page,
    level: i8,
    path: Path,
    state: &mut State,
    table: &mut Table,
    out: &mut [u8],
) -> Option<usize> {
    let (stride, equal) = path.stride(page);
    if equal < FEW_EQUAL || equal < MANY_EQUAL && path.is_text(page) {
        return compress_lz4(page, level, table, out);
    }
    let State { parts, far } = state;
    let balanced = level >= BALANCED;
    path.encode(page, stride, balanced.then_some(far), parts);
    let len = parts.chunk_len();
    if len > LARGE[usize::from(balanced)] {
        let most = out.len().min(len);
        if let Some(lz4) = compress_lz4(page, level, table, &mut out[..most]) {
            return Some(lz4);
        }
    }
    parts.write(stride, out)
}

/// Restores a page; `None` if `chunk` is corrupt.
pub(super) fn decompress(
    chunk: &[u8],
    path: Path,
    state: &mut State,
    page: &mut Page,
) -> Option<()> {
    match chunk.split_first() {
        Some((&KIND_LZ4, block)) => lz4::decompress(block, page),
        _ => path.decode(chunk, &mut state.parts, page),
    }
}
