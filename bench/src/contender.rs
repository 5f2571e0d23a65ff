//! The codecs that are measured: ours, and the peers'.

use std::ffi::c_int;

use compcache_engine::codec::{self, Codec, CodecSpec, Scratch};
use compcache_engine::page::{PAGE_SIZE, Page};
use zstd_safe::{CCtx, DCtx};

/// What is measured.
pub(crate) trait Contender {
    /// Its name in tables.
    fn name(&self) -> String;

    /// Compresses a page; `None` where it does not fit into `out`.
    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize>;

    /// Restores a page; whether that worked.
    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool;
}

/// Bytes that every contender gets for a chunk, the bound that `lz4_flex` insists on; it
/// spares the others their checks as far as they know their own.
pub(crate) const ROOM: usize = PAGE_SIZE * 11 / 10 + 20;

/// The name of the contender that all speeds are compared with.
pub(crate) const REFERENCE: &str = "lz4 (C)";

/// Every contender, the reference first.
pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(LzFour),
        Box::new(Flex),
        Box::new(Zstd {
            compressor: CCtx::create(),
            decompressor: DCtx::create(),
        }),
    ];
    let defaults = codec::selectable().filter_map(|id| CodecSpec::new(id).ok());
    for spec in defaults.chain([CodecSpec::WKS_FAST]) {
        if let Some(codec) = codec::by_id(spec.id()) {
            all.push(Box::new(Ours {
                spec,
                codec,
                scratch: Scratch::default(),
            }));
        }
    }
    all
}

/// A codec of the engine.
struct Ours {
    spec: CodecSpec,
    codec: &'static dyn Codec,
    scratch: Scratch,
}

impl Contender for Ours {
    fn name(&self) -> String {
        self.spec.to_string()
    }

    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        self.codec
            .compress(page, self.spec.level(), &mut self.scratch, out)
    }

    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        self.codec
            .decompress(chunk, &mut self.scratch, page)
            .is_ok()
    }
}

/// LZ4's own library, acceleration 1.
struct LzFour;

impl Contender for LzFour {
    fn name(&self) -> String {
        REFERENCE.into()
    }

    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        let room = c_int::try_from(out.len()).unwrap_or(c_int::MAX);
        // SAFETY: the lengths are those of the two buffers.
        let length = unsafe {
            lz4_sys::LZ4_compress_default(
                page.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                PAGE_SIZE as c_int,
                room,
            )
        };
        usize::try_from(length).ok().filter(|&length| length > 0)
    }

    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        let Ok(length) = c_int::try_from(chunk.len()) else {
            return false;
        };
        // SAFETY: the lengths are those of the two buffers.
        let restored = unsafe {
            lz4_sys::LZ4_decompress_safe(
                chunk.as_ptr().cast(),
                page.as_mut_ptr().cast(),
                length,
                PAGE_SIZE as c_int,
            )
        };
        restored == PAGE_SIZE as c_int
    }
}

/// LZ4 in Rust: `lz4_flex` with its unchecked code.
struct Flex;

impl Contender for Flex {
    fn name(&self) -> String {
        "lz4_flex".into()
    }

    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        lz4_flex::block::compress_into(page, out).ok()
    }

    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        lz4_flex::block::decompress_into(chunk, page).is_ok_and(|length| length == PAGE_SIZE)
    }
}

/// Zstandard's own library at level 1 as it comes, its contexts used again.
struct Zstd {
    compressor: CCtx<'static>,
    decompressor: DCtx<'static>,
}

impl Contender for Zstd {
    fn name(&self) -> String {
        "zstd:1 (C)".into()
    }

    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        self.compressor.compress(out, page, 1).ok()
    }

    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        self.decompressor
            .decompress(&mut page[..], chunk)
            .is_ok_and(|length| length == PAGE_SIZE)
    }
}
