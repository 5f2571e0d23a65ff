//! The pool's way to the bytes of its frames: every raw access is here.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use super::bitmap::{Bitmap, GRANULE, GRANULES};
use crate::host::FrameMemory;
use crate::slot::PLACE_BITS;

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

/// Bits of a place in a word of a [`Run`]; those above hold a length.
const PLACE: u64 = (1 << PLACE_BITS) - 1;

/// A free run, as its first granule says: two words, whose lower 36 bits are places.
///
/// ```text
/// first granule   | length | next   | length if 1 | previous |
/// last granule                      | length      | 0        |
/// ```
///
/// The last granule says how long the run is to whoever frees what lies behind it. It may be the
/// first one as well, and so says it in the second word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The next run of its list, or 0 for none (place 0 is always the bitmap of frame 0).
    pub(super) next: u64,
    /// The previous run of its list, or 0.
    pub(super) prev: u64,
    /// Granules.
    pub(super) length: usize,
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

    /// A word of a granule: 0 or 1.
    ///
    /// # Safety
    /// The granule is free, and the caller holds the lock of its frame's arena.
    #[inline]
    unsafe fn word(&self, place: u64, i: usize) -> NonNull<u64> {
        // SAFETY: a granule has two words and is aligned to 16 bytes.
        unsafe { self.at(place).cast::<u64>().add(i) }
    }

    /// Reads a free run.
    ///
    /// # Safety
    /// `place` starts a listed free run of a populated frame whose arena's lock the caller holds.
    #[inline]
    pub(super) unsafe fn run(&self, place: u64) -> Run {
        // SAFETY: free granules are touched under the arena's lock only, which the caller holds.
        let (first, second) = unsafe { (self.word(place, 0).read(), self.word(place, 1).read()) };
        Run {
            next: first & PLACE,
            prev: second & PLACE,
            length: (first >> PLACE_BITS) as usize,
        }
    }

    /// The length of the listed free run that ends just below `place`.
    ///
    /// # Safety
    /// The granule below `place` is free, in the same frame, whose arena's lock the caller holds.
    #[inline]
    pub(super) unsafe fn length_before(&self, place: u64) -> usize {
        // SAFETY: as in `run`; the granule is the last one of a listed run.
        let second = unsafe { self.word(place - 1, 1).read() };
        (second >> PLACE_BITS) as usize
    }

    /// Writes a free run.
    ///
    /// # Safety
    /// All its granules are free, in a populated frame whose arena's lock the caller holds.
    #[inline]
    pub(super) unsafe fn set_run(&self, place: u64, run: Run) {
        let length = (run.length as u64) << PLACE_BITS;
        // SAFETY: as in `run`. If the run has one granule, the last store keeps what the one
        // before it wrote.
        unsafe {
            self.word(place, 0).write(run.next | length);
            self.word(place, 1).write(run.prev);
            let last = self.word(place + run.length as u64 - 1, 1);
            last.write(if run.length == 1 {
                run.prev | length
            } else {
                length
            });
        }
    }

    /// Changes which run comes after a listed one.
    ///
    /// # Safety
    /// As for [`Memory::run`].
    #[inline]
    pub(super) unsafe fn set_next(&self, place: u64, next: u64) {
        // SAFETY: as in `run`.
        unsafe {
            let word = self.word(place, 0);
            word.write(word.read() & !PLACE | next);
        }
    }

    /// Changes which run comes before a listed one.
    ///
    /// # Safety
    /// As for [`Memory::run`].
    #[inline]
    pub(super) unsafe fn set_prev(&self, place: u64, prev: u64) {
        // SAFETY: as in `run`.
        unsafe {
            let word = self.word(place, 1);
            word.write(word.read() & !PLACE | prev);
        }
    }

    #[inline]
    fn header_word(&self, place: u64) -> &AtomicU64 {
        // SAFETY: the granule is aligned to 16 bytes. While it starts a chunk, its first
        // eight bytes are accessed through this function only, that is, atomically.
        unsafe { AtomicU64::from_ptr(self.at(place).cast::<u64>().as_ptr()) }
    }

    /// Reads a chunk's header. May run beside [`Memory::write_header`] of the same chunk, and
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

    /// Writes a chunk's header.
    ///
    /// # Safety
    /// `place` is the first of enough granules that the caller has allocated and that no
    /// slot names yet.
    #[inline]
    pub(super) unsafe fn write_header(&self, place: u64, header: Header) {
        let word = u64::from(header.owner) | u64::from(header.checksum) << 32;
        self.header_word(place).store(word, Ordering::Relaxed);
    }

    /// Writes a chunk's bytes, and gives them as they lie there.
    ///
    /// # Safety
    /// As for [`write_header`](Self::write_header); the bytes are not written again while what is returned lives.
    #[inline]
    pub(super) unsafe fn write_bytes(&self, place: u64, bytes: &[u8]) -> &[u8] {
        // SAFETY: the granules behind the header are the caller's alone, and large enough.
        unsafe {
            let to = self.at(place).add(CHUNK_HEADER);
            to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            NonNull::slice_from_raw_parts(to, bytes.len()).as_ref()
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
