//! Codecs that are called: ours, and the peers' libraries.

use std::ffi::c_int;
use std::fmt;

use anyhow::{Result, ensure};
use compcache_engine::codec::{Builtin, CodecSpec, Codecs, Scratch};
use compcache_engine::page::{PAGE_SIZE, Page};
use zstd_safe::{CCtx, DCtx};

use super::contender::{Contender, Whose};
use crate::ours;

/// The name of the contender that all speeds are compared with.
pub(super) const REFERENCE: &str = "lz4 (C)";

/// The peers' codecs, the reference first.
pub(super) fn peers() -> Vec<Box<dyn Contender>> {
    let peer = |codec| InMemory::boxed(Whose::Library, codec);
    let zstd = Codec::Zstd(CCtx::create(), DCtx::create());
    vec![peer(Codec::Lz4), peer(Codec::Lz4Flex), peer(zstd)]
}

pub(super) fn ours() -> Result<Vec<Box<dyn Contender>>> {
    let codecs = ours::codecs().map(|spec| {
        let codec = Codec::Engine(spec, Builtin::scratch()?);
        Ok(InMemory::boxed(Whose::Ours, codec))
    });
    codecs.collect()
}

/// Bytes that every codec in memory gets for a chunk, the bound that `lz4_flex` insists on; it
/// spares the others their checks as far as they know their own.
const ROOM: usize = PAGE_SIZE * 11 / 10 + 20;

enum Codec {
    /// LZ4's own library, acceleration 1.
    Lz4,
    /// LZ4 in Rust: `lz4_flex` with its unchecked code.
    Lz4Flex,
    /// Zstandard's own library at level 1 as it comes, its contexts used again.
    Zstd(CCtx<'static>, DCtx<'static>),
    Engine(CodecSpec, Scratch),
}

impl Codec {
    /// Compresses a page; `None` if it does not fit into `out`.
    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        match self {
            Codec::Lz4 => {
                let room = c_int::try_from(out.len()).unwrap_or(c_int::MAX);
                let (from, to) = (page.as_ptr().cast(), out.as_mut_ptr().cast());
                // SAFETY: the lengths are those of the two buffers.
                let length =
                    unsafe { lz4_sys::LZ4_compress_default(from, to, PAGE_SIZE as c_int, room) };
                usize::try_from(length).ok().filter(|&length| length > 0)
            }
            Codec::Lz4Flex => lz4_flex::block::compress_into(page, out).ok(),
            Codec::Zstd(compressor, _) => compressor.compress(out, page, 1).ok(),
            Codec::Engine(spec, scratch) => Builtin::compress(*spec, page, scratch, out),
        }
    }

    /// Restores a page; whether that worked.
    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        let length = match self {
            Codec::Lz4 => {
                let (from, to) = (chunk.as_ptr().cast(), page.as_mut_ptr().cast());
                let length = c_int::try_from(chunk.len()).unwrap_or(0);
                // SAFETY: the lengths are those of the two buffers.
                let restored =
                    unsafe { lz4_sys::LZ4_decompress_safe(from, to, length, PAGE_SIZE as c_int) };
                usize::try_from(restored).ok()
            }
            Codec::Lz4Flex => lz4_flex::block::decompress_into(chunk, page).ok(),
            Codec::Zstd(_, decompressor) => decompressor.decompress(&mut page[..], chunk).ok(),
            Codec::Engine(spec, scratch) => {
                return Builtin::decompress(spec.id(), chunk, scratch, page).is_ok();
            }
        };
        length == Some(PAGE_SIZE)
    }
}

/// A codec that is called, with the chunks of one source.
struct InMemory {
    whose: Whose,
    codec: Codec,
    /// Empty if a page has none.
    chunks: Vec<Vec<u8>>,
    out: [u8; ROOM],
    restored: Page,
}

impl InMemory {
    fn boxed(whose: Whose, codec: Codec) -> Box<dyn Contender> {
        Box::new(InMemory {
            whose,
            codec,
            chunks: Vec::new(),
            out: [0; ROOM],
            restored: [0; PAGE_SIZE],
        })
    }
}

impl fmt::Display for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.codec {
            Codec::Lz4 => f.write_str(REFERENCE),
            Codec::Lz4Flex => f.write_str("lz4_flex"),
            Codec::Zstd(..) => f.write_str("zstd:1 (C)"),
            Codec::Engine(spec, _) => write!(f, "{spec}"),
        }
    }
}

impl Contender for InMemory {
    fn whose(&self) -> Whose {
        self.whose
    }

    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>> {
        self.chunks.clear();
        let mut sizes = Vec::new();
        for (at, page) in pages.iter().enumerate() {
            let length = self.codec.compress(page, &mut self.out);
            let length = length.filter(|&length| length < PAGE_SIZE);
            let chunk = self.out[..length.unwrap_or(0)].to_vec();
            if length.is_some() {
                let read = self.codec.decompress(&chunk, &mut self.restored);
                ensure!(read && self.restored == *page, "page {at} is lost");
            }
            self.chunks.push(chunk);
            sizes.push(length.unwrap_or(PAGE_SIZE));
        }
        Ok(sizes)
    }

    fn compress(&mut self, pages: &[Page], at: usize) -> Result<()> {
        std::hint::black_box(self.codec.compress(&pages[at], &mut self.out));
        Ok(())
    }

    fn decompress(&mut self, at: usize) -> Result<()> {
        let chunk = &self.chunks[at];
        std::hint::black_box(self.codec.decompress(chunk, &mut self.restored));
        Ok(())
    }
}
