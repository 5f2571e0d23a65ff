//! Writing LZ4 blocks.

use super::MORE;
use crate::codec::lz77::{Format, MIN_MATCH, Packed, Sequence, Writer, copy, store16};
use crate::page::{PAGE_SIZE, Page};

/// LZ4's block format, searched as LZ4's fast compressor does at acceleration 1.
pub(super) struct Blocks;

impl Format for Blocks {
    const SKIP: u32 = 6;

    #[inline(always)]
    fn short(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence;
        let more = length - MIN_MATCH;
        // Token, 16 bytes written for the literals, distance.
        if literals >= MORE || more >= MORE || len >= out.len().saturating_sub(1 + 16 + 1) {
            return None;
        }
        // SAFETY: `out` has room for all that is written here. The match is 17 bytes before the
        // page's end or earlier, and the literals are before it. The distance stands at most 15
        // bytes behind the token.
        unsafe {
            let to = out.as_mut_ptr().add(len);
            *to = (literals << 4 | more) as u8;
            copy::<16>(page.as_ptr().add(literals_at), to.add(1));
            store16(to.add(1 + literals), distance as u16);
        }
        Some(len + 1 + literals + 2)
    }

    #[inline(always)]
    fn short_match(out: &mut [u8], len: usize, distance: usize, length: usize) -> Option<usize> {
        let more = length - MIN_MATCH;
        if more >= MORE || len >= out.len().saturating_sub(2) {
            return None;
        }
        // SAFETY: `out` has room for three bytes.
        unsafe {
            let to = out.as_mut_ptr().add(len);
            *to = more as u8;
            store16(to.add(1), distance as u16);
        }
        Some(len + 1 + 2)
    }

    #[inline(never)]
    fn long(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence.into();
        let more = length - MIN_MATCH;
        if len + WRITTEN + literals > out.len() {
            return Self::any(page, out, len, sequence);
        }
        // SAFETY: `out` has room for all that is written here. The match starts 17 bytes before
        // the page's end or earlier, so a copy of 16 bytes at a time that starts among the
        // literals ends in the page.
        unsafe {
            let start = out.as_mut_ptr();
            let token = start.add(len);
            *token = (literals.min(MORE) << 4 | more.min(MORE)) as u8;
            let mut to = token.add(1);
            if literals >= MORE {
                to = put_length(to, literals - MORE);
            }
            let from = page.as_ptr().add(literals_at);
            let mut done = 0;
            while done < literals {
                copy::<16>(from.add(done), to.add(done));
                done += 16;
            }
            to = to.add(literals);
            store16(to, distance as u16);
            to = to.add(2);
            if more >= MORE {
                to = put_length(to, more - MORE);
            }
            Some(to.offset_from_unsigned(start))
        }
    }

    #[cold]
    #[inline(never)]
    fn any(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence.into();
        let (literals, more) = (
            &page[literals_at..literals_at + literals],
            length - MIN_MATCH,
        );
        let mut writer = Writer::new(out, len);
        start(&mut writer, literals, more)?;
        writer.bytes(&(distance as u16).to_le_bytes())?;
        rest(&mut writer, more)?;
        Some(writer.len())
    }

    fn end(page: &Page, out: &mut [u8], len: usize, at: usize) -> Option<usize> {
        let mut writer = Writer::new(out, len);
        start(&mut writer, &page[at..], 0)?;
        Some(writer.len())
    }
}

/// Bytes that [`Blocks::long`] writes besides the literals: a token, two long lengths, a distance,
/// and what the copy of the literals writes past them.
const WRITTEN: usize = 1 + 2 * MOST_OF_A_LENGTH + 2 + 15;

/// The most bytes that [`put_length`] writes.
const MOST_OF_A_LENGTH: usize = 17;

/// Writes what of a length the token's field can't hold; returns where it ends.
///
/// # Safety
/// `to` must be valid for writing [`MOST_OF_A_LENGTH`] bytes, and `length` at most 4096.
#[inline(always)]
unsafe fn put_length(to: *mut u8, length: usize) -> *mut u8 {
    debug_assert!(length <= PAGE_SIZE);
    // A multiple of 255 by a product: 4096 has at most 16.
    let full = (length * 0x8081) >> 23;
    // SAFETY: at most 16 bytes of 255 and one more are written.
    unsafe {
        to.cast::<[u8; 16]>().write([255; 16]);
        *to.add(full) = (length - 255 * full) as u8;
        to.add(full + 1)
    }
}

/// Writes a sequence up to the end of its literals.
fn start(writer: &mut Writer<'_>, literals: &[u8], more: usize) -> Option<()> {
    writer.byte((literals.len().min(MORE) << 4 | more.min(MORE)) as u8)?;
    rest(writer, literals.len())?;
    writer.bytes(literals)
}

/// Writes what of a length the token's field can't hold.
fn rest(writer: &mut Writer<'_>, length: usize) -> Option<()> {
    let Some(mut rest) = length.checked_sub(MORE) else {
        return Some(());
    };
    while rest >= 255 {
        writer.byte(255)?;
        rest -= 255;
    }
    writer.byte(rest as u8)
}
