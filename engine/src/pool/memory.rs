//! The pool's way to the bytes of its frames: every raw access is here.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use super::bitmap::{Bitmap, GRANULE, GRANULES};
use crate::host::FrameMemory;

/// Bytes of a chunk's header: its owner and its checksum.
pub(super) const CHUNK_HEADER: usize = 8;

/// A chunk's header as it lies before its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Index of the page whose chunk this is.
    pub(super) owner: u32,
    /// CRC-32C of the chunk's bytes, seeded with its owner.
    pub(super) checksum: u32,
}

/// Neighbours in a list of free runs, stored in the first granule of a run: places, or 0 for
/// none (place 0 is always the bitmap of frame 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Links {
    pub(super) next: u64,
    pub(super) prev: u64,
}

/// The frame of a place.
#[inline]
pub(super) const fn frame_of(place: u64) -> u32 {
    (place / GRANULES as u64) as u32
}

/// The granule of a place within its frame.
#[inline]
pub(super) const fn granule_of(place: u64) -> usize {
    (place % GRANULES as u64) as usize
}

/// The place of a granule.
#[inline]
pub(super) const fn place_of(frame: u32, granule: usize) -> u64 {
    frame as u64 * GRANULES as u64 + granule as u64
}

/// The frames, seen as bitmaps, free runs and chunks.
#[derive(Debug)]
pub(super) struct Memory<F>(pub(super) F);

impl<F: FrameMemory> Memory<F> {
    #[inline]
    fn at(&self, place: u64) -> NonNull<u8> {
        // SAFETY: a granule's offset is below the frame's size, and `frame` returns a
        // pointer that is valid for the whole frame.
        unsafe {
            self.0
                .frame(frame_of(place))
                .add(granule_of(place) * GRANULE)
        }
    }

    /// The bitmap of a frame.
    ///
    /// # Safety
    /// The frame is populated, and the caller has exclusive use of its bitmap (it holds the
    /// lock of the frame's arena, or the frame belongs to no arena) until it drops the
    /// reference; it makes no second one meanwhile.
    #[inline]
    #[allow(clippy::mut_from_ref)] // exclusive by the arena's lock, as demanded above
    pub(super) unsafe fn bitmap(&self, frame: u32) -> &mut Bitmap {
        // SAFETY: the bitmap's 512 bytes lie at the frame's start, which is aligned to 4096
        // bytes; any bit pattern is a valid bitmap; exclusive by this function's contract.
        unsafe { self.0.frame(frame).cast::<Bitmap>().as_mut() }
    }

    /// Reads the links of a free run.
    ///
    /// # Safety
    /// `place` starts a free run of a populated frame whose arena's lock the caller holds.
    #[inline]
    pub(super) unsafe fn links(&self, place: u64) -> Links {
        // SAFETY: a granule has room for the links and is aligned to 16 bytes; free granules
        // are touched under the arena's lock only, which the caller holds.
        unsafe { self.at(place).cast::<Links>().read() }
    }

    /// Writes the links of a free run.
    ///
    /// # Safety
    /// As for [`Memory::links`].
    #[inline]
    pub(super) unsafe fn set_links(&self, place: u64, links: Links) {
        // SAFETY: as in `links`.
        unsafe { self.at(place).cast::<Links>().write(links) }
    }

    #[inline]
    fn header_word(&self, place: u64) -> &AtomicU64 {
        // SAFETY: the granule is aligned to 16 bytes. While it starts a chunk, its first
        // eight bytes are accessed through this function only, that is, atomically.
        unsafe { AtomicU64::from_ptr(self.at(place).cast::<u64>().as_ptr()) }
    }

    /// Reads a chunk's header. May run beside [`Memory::write_chunk`] of the same chunk, and
    /// then returns the old or the new word.
    ///
    /// # Safety
    /// `place` is the first of granules that are in use in a populated frame.
    #[inline]
    pub(super) unsafe fn header(&self, place: u64) -> Header {
        let word = self.header_word(place).load(Ordering::Relaxed);
        Header {
            owner: word as u32,
            checksum: (word >> 32) as u32,
        }
    }

    /// Writes a chunk: header and bytes.
    ///
    /// # Safety
    /// `place` is the first of enough granules that the caller has allocated and that no
    /// slot names yet.
    #[inline]
    pub(super) unsafe fn write_chunk(&self, place: u64, header: Header, bytes: &[u8]) {
        let word = u64::from(header.owner) | u64::from(header.checksum) << 32;
        self.header_word(place).store(word, Ordering::Relaxed);
        // SAFETY: the granules behind the header are the caller's alone, and large enough.
        unsafe {
            let to = self.at(place).add(CHUNK_HEADER);
            to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
    }

    /// Flips a bit of byte `at` of a chunk.
    ///
    /// # Safety
    /// A slot that the caller holds locked names this chunk, which is longer than `at`, and nobody
    /// has a reference to its bytes.
    pub(super) unsafe fn flip_bit(&self, place: u64, at: usize) {
        // SAFETY: the byte is the chunk's, and by this function's contract nobody else's.
        unsafe {
            let byte = self.at(place).add(CHUNK_HEADER + at);
            byte.write(byte.read() ^ 1);
        }
    }

    /// The bytes of a chunk.
    ///
    /// # Safety
    /// A slot that the caller holds locked names this chunk with this length, for as long as
    /// the reference lives.
    #[inline]
    pub(super) unsafe fn chunk(&self, place: u64, length: usize) -> &[u8] {
        // SAFETY: a chunk that a slot names is complete and is not written again before it
        // is freed, which the lock on its slot prevents.
        unsafe { NonNull::slice_from_raw_parts(self.at(place).add(CHUNK_HEADER), length).as_ref() }
    }
}
