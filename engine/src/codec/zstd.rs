//! Zstandard (RFC 8878): the smallest chunks, for pages that stay cold.
//!
//! # Layout of a chunk
//! One frame without its magic number, content size, dictionary id and checksum (the chunk's
//! header has a checksum of its own), so that two constant bytes of frame header are left:
//!
//! ```text
//! 00        frame header descriptor: nothing optional is there
//! 10        window descriptor: 4096 bytes
//! blocks    RFC 8878, section 3.1.1.2
//! ```
//!
//! # Memory
//! A context of the C library allocates when it first serves a level, and again when its
//! workspace proves more than three times as large as what was needed 128 times in a row.
//! For pages of 4096 bytes all levels that are offered need between 72 and 105 KiB, so a
//! context that has served the hungriest level once never allocates again.

use core::fmt;

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, ErrorCode, FrameFormat, ResetDirective};

use super::CodecSpec;
use crate::fallible::NoMemory;
use crate::page::{PAGE_SIZE, Page};

/// The contexts of one worker, used for page after page; about 200 KiB.
pub(super) struct State {
    compressor: CCtx<'static>,
    decompressor: DCtx<'static>,
    /// The level that `compressor` is set to.
    level: i8,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Makes both contexts and has them serve a page at every level, which allocates and
    /// touches all the memory that they will ever use.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none for them.
    pub(super) fn new() -> Result<Self, NoMemory> {
        let mut compressor = CCtx::try_create().ok_or(NoMemory)?;
        let mut decompressor = DCtx::try_create().ok_or(NoMemory)?;
        // These parameters exist in every version of the library that the crate can be linked
        // to; the round trips of the tests would show one that was refused.
        let refused = [
            compressor.set_parameter(CParameter::Format(FrameFormat::Magicless)),
            compressor.set_parameter(CParameter::ContentSizeFlag(false)),
            compressor.set_parameter(CParameter::ChecksumFlag(false)),
            compressor.set_parameter(CParameter::DictIdFlag(false)),
            decompressor.set_parameter(DParameter::Format(FrameFormat::Magicless)),
        ]
        .iter()
        .any(Result::is_err);
        debug_assert!(!refused);
        let mut state = State {
            compressor,
            decompressor,
            level: 0,
        };
        state.warm_up()?;
        Ok(state)
    }

    /// Compresses and restores a page that has noise and repeats at every level, the
    /// hungriest first.
    fn warm_up(&mut self) -> Result<(), NoMemory> {
        let mut page = [0; PAGE_SIZE];
        let mut noise: u32 = 1;
        for (i, byte) in page.iter_mut().enumerate() {
            noise = noise.wrapping_mul(0x915F_77F5).wrapping_add(1);
            *byte = if i % 64 < 32 {
                (noise >> 24) as u8
            } else {
                (noise >> 29) as u8
            };
        }
        let mut out = [0; 2 * PAGE_SIZE];
        for level in CodecSpec::ZSTD_LEVELS.rev() {
            // It fits, and what this very context wrote decodes: only memory can lack.
            let len = self.try_compress(&page, level, &mut out);
            let len = len.map_err(|_| NoMemory)?;
            let back = self.decompressor.decompress(&mut page[..], &out[..len]);
            back.map_err(|_| NoMemory)?;
        }
        Ok(())
    }

    /// [`Codecs::compress`](super::Codecs::compress). `level` is one of
    /// [`CodecSpec::ZSTD_LEVELS`]; 0 is the library's default, 3.
    pub(super) fn compress(&mut self, page: &Page, level: i8, out: &mut [u8]) -> Option<usize> {
        self.try_compress(page, level, out).ok()
    }

    /// Restores a page; `None` if `chunk` is corrupt.
    pub(super) fn decompress(&mut self, chunk: &[u8], page: &mut Page) -> Option<()> {
        // All of the chunk has been read then: the library refuses what follows a frame
        // unless it is another one.
        let length = self.decompressor.decompress(&mut page[..], chunk);
        (length == Ok(PAGE_SIZE)).then_some(())
    }

    fn try_compress(&mut self, page: &Page, level: i8, out: &mut [u8]) -> Result<usize, ErrorCode> {
        if level != self.level {
            self.compressor
                .set_parameter(CParameter::CompressionLevel(level.into()))?;
            self.level = level;
        }
        let written = self.compressor.compress2(out, page);
        if written.is_err() {
            self.compressor.reset(ResetDirective::SessionOnly)?;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{any_page, check_damage, check_round_trips, chunk_of, made_pages};
    use crate::codec::{Builtin, CodecId, Codecs, Scratch};

    fn zstd(level: i8) -> CodecSpec {
        CodecSpec::ZSTD.with_level(level).unwrap()
    }

    #[test]
    fn every_page_comes_back_at_every_level() {
        for level in CodecSpec::ZSTD_LEVELS {
            check_round_trips(zstd(level));
        }
    }

    #[test]
    fn damaged_chunks_do_no_harm() {
        for level in [-7, 1, 9] {
            check_damage(zstd(level));
        }
    }

    #[test]
    fn the_frame_header_is_two_bytes() {
        let mut scratch = Builtin::scratch().unwrap();
        for (name, page) in made_pages() {
            for level in CodecSpec::ZSTD_LEVELS {
                if let Some(chunk) = chunk_of(zstd(level), &page, &mut scratch) {
                    assert_eq!(chunk[..2], [0x00, 0x10], "{name} at level {level}");
                }
            }
        }
    }

    #[test]
    fn contexts_keep_their_size_whatever_the_order_of_levels() {
        let mut scratch = Builtin::scratch().unwrap();
        let sizes = |s: &Scratch| (s.zstd.compressor.sizeof(), s.zstd.decompressor.sizeof());
        let warm = sizes(&scratch);
        let pages = made_pages();
        for level in CodecSpec::ZSTD_LEVELS.chain(CodecSpec::ZSTD_LEVELS.rev()) {
            for (name, page) in pages.iter().cycle().take(400) {
                chunk_of(zstd(level), page, &mut scratch);
                assert_eq!(sizes(&scratch), warm, "{name} at level {level}");
            }
        }
    }

    #[test]
    fn a_page_of_noise_does_not_fit_and_the_next_one_does() {
        let mut scratch = Builtin::scratch().unwrap();
        let pages = made_pages();
        let find = |wanted: &str| &*pages.iter().find(|(name, _)| name == wanted).unwrap().1;
        assert_eq!(
            chunk_of(zstd(1), find("random, seed 0"), &mut scratch),
            None
        );
        assert!(
            chunk_of(zstd(1), find("text, seed 0"), &mut scratch)
                .unwrap()
                .len()
                < 2000
        );
    }

    proptest! {
        #[test]
        fn any_page_comes_back(page in any_page(), level in CodecSpec::ZSTD_LEVELS) {
            let mut scratch = Builtin::scratch().unwrap();
            if let Some(chunk) = chunk_of(zstd(level), &page, &mut scratch) {
                let mut back = [0; PAGE_SIZE];
                prop_assert_eq!(Builtin::decompress(CodecId::Zstd, &chunk, &mut scratch, &mut back), Ok(()));
                prop_assert!(back == *page);
            }
        }

        #[test]
        fn any_bytes_do_no_harm(chunk in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let mut scratch = Builtin::scratch().unwrap();
            let _ = Builtin::decompress(CodecId::Zstd, &chunk, &mut scratch, &mut [0; PAGE_SIZE]);
        }
    }
}
