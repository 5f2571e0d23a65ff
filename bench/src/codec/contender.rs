//! What is measured: our codecs, the peers' libraries, and the kernel's through zram.

use std::ffi::c_int;

use anyhow::{Result, ensure};
use compcache_engine::codec::{Builtin, CodecSpec, Codecs, Scratch};
use compcache_engine::page::{PAGE_SIZE, Page};
use serde::Serialize;
use zstd_safe::{CCtx, DCtx};

use super::kernel::Kernel;
use crate::{machine, ours, zram};

/// Whose a codec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Whose {
    /// Ours.
    Ours,
    /// A library's.
    Library,
    /// The kernel's, reached by a zram device: its speeds are those of the block device.
    Kernel,
}

/// What is measured, with the pages of one source at a time.
pub(super) trait Contender {
    /// Its name in tables.
    fn name(&self) -> String;

    /// Whose it is.
    fn whose(&self) -> Whose;

    /// Takes pages in: compresses each, and checks that it comes back. Gives the length of each
    /// chunk, a whole page where there is none.
    ///
    /// # Errors
    /// Where a page is lost, or the system fails.
    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>>;

    /// Compresses page `at` of those that were taken in once more.
    ///
    /// # Errors
    /// Where the system fails.
    fn compress(&mut self, pages: &[Page], at: usize) -> Result<()>;

    /// Restores page `at`, which has a chunk.
    ///
    /// # Errors
    /// Where the system fails.
    fn decompress(&mut self, at: usize) -> Result<()>;
}

/// The name of the contender that all speeds are compared with.
pub(super) const REFERENCE: &str = "lz4 (C)";

/// Every contender, the reference first.
///
/// # Errors
/// Where there is no memory for them.
pub(super) fn all() -> Result<Vec<Box<dyn Contender>>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        InMemory::library(LzFour),
        InMemory::library(Flex),
        InMemory::library(Zstd {
            compressor: CCtx::create(),
            decompressor: DCtx::create(),
        }),
    ];
    match machine::need_root("codec").and_then(|()| zram::algorithms()) {
        Ok(algorithms) => {
            for algorithm in algorithms {
                all.push(Box::new(Kernel::new(algorithm)));
            }
        }
        Err(error) => eprintln!("the kernel's codecs: left out, {error:#}"),
    }
    for spec in ours::codecs() {
        all.push(InMemory::boxed(
            Whose::Ours,
            Engine {
                spec,
                scratch: Builtin::scratch()?,
            },
        ));
    }
    Ok(all)
}

/// Bytes that every codec in memory gets for a chunk, the bound that `lz4_flex` insists on; it
/// spares the others their checks as far as they know their own.
const ROOM: usize = PAGE_SIZE * 11 / 10 + 20;

/// A codec that is called.
trait PageCodec {
    /// Its name in tables.
    fn name(&self) -> String;

    /// Compresses a page; `None` where it does not fit into `out`.
    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize>;

    /// Restores a page; whether that worked.
    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool;
}

/// A codec that is called, with the chunks of one source.
struct InMemory<C> {
    whose: Whose,
    codec: C,
    /// Empty where a page has none.
    chunks: Vec<Vec<u8>>,
    out: [u8; ROOM],
    restored: Page,
}

impl<C: PageCodec + 'static> InMemory<C> {
    fn boxed(whose: Whose, codec: C) -> Box<dyn Contender> {
        Box::new(InMemory {
            whose,
            codec,
            chunks: Vec::new(),
            out: [0; ROOM],
            restored: [0; PAGE_SIZE],
        })
    }

    fn library(codec: C) -> Box<dyn Contender> {
        Self::boxed(Whose::Library, codec)
    }
}

impl<C: PageCodec> Contender for InMemory<C> {
    fn name(&self) -> String {
        self.codec.name()
    }

    fn whose(&self) -> Whose {
        self.whose
    }

    fn load(&mut self, pages: &[Page]) -> Result<Vec<usize>> {
        self.chunks.clear();
        let mut sizes = Vec::new();
        for (at, page) in pages.iter().enumerate() {
            let length = self
                .codec
                .compress(page, &mut self.out)
                .filter(|&length| length < PAGE_SIZE);
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

/// A codec of the engine.
struct Engine {
    spec: CodecSpec,
    scratch: Scratch,
}

impl PageCodec for Engine {
    fn name(&self) -> String {
        self.spec.to_string()
    }

    fn compress(&mut self, page: &Page, out: &mut [u8]) -> Option<usize> {
        Builtin::compress(self.spec, page, &mut self.scratch, out)
    }

    fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> bool {
        Builtin::decompress(self.spec.id(), chunk, &mut self.scratch, page).is_ok()
    }
}

/// LZ4's own library, acceleration 1.
struct LzFour;

impl PageCodec for LzFour {
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

impl PageCodec for Flex {
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

impl PageCodec for Zstd {
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
