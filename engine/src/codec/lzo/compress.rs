//! Writing LZO1X streams.

use super::{END, M2_DISTANCE};
use crate::codec::lz77::{Format, Packed, Sequence, Writer, copy, store16};
use crate::page::{PAGE_SIZE, Page};

/// The longest match that M2 and the first byte of M3 can say.
const M2_LENGTH: usize = 8;
const M3_LENGTH: usize = 33;

/// LZO1X's format, with the instructions and the patience of LZO1X-1.
pub(super) struct Streams;

impl Format for Streams {
    const SKIP: u32 = 5;

    #[inline(always)]
    fn short(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence;
        // A run's byte, 18 literals written as 32 bytes, a match. Nothing was written before the
        // first sequence, which is one of its own kind.
        let room = out.len().saturating_sub(1 + 32 + 2).max(2);
        if literals > 18 || length > M3_LENGTH || len.wrapping_sub(2) >= room - 2 {
            return None;
        }
        // SAFETY: `out` has room for all that is written here. The match is 17 bytes before the
        // page's end or earlier, so 16 bytes from each literal that is copied are in the page.
        // Two bytes or more were written before; the last of them are a match's, as no stream
        // starts with one and every sequence ends with one.
        unsafe {
            let start = out.as_mut_ptr();
            let mut to = start.add(len);
            if literals <= 3 {
                *to.sub(2) |= literals as u8;
            } else {
                *to = (literals - 3) as u8;
                to = to.add(1);
            }
            let from = page.as_ptr().add(literals_at);
            copy::<16>(from, to);
            if literals > 16 {
                copy::<16>(from.add(16), to.add(16));
            }
            Some(put_match(start, to.add(literals), distance, length))
        }
    }

    #[inline(always)]
    fn short_match(out: &mut [u8], len: usize, distance: usize, length: usize) -> Option<usize> {
        if length > M3_LENGTH || len >= out.len().saturating_sub(2) {
            return None;
        }
        // SAFETY: `out` has room for three bytes.
        unsafe {
            let start = out.as_mut_ptr();
            Some(put_match(start, start.add(len), distance, length))
        }
    }

    #[inline(never)]
    fn long(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence.into();
        if len == 0 || len + WRITTEN + literals > out.len() {
            return Self::any(page, out, len, sequence);
        }
        // SAFETY: `out` has room for all that is written here. The match starts 17 bytes before
        // the page's end or earlier, so a copy of 16 bytes at a time that starts among the
        // literals ends in the page. As `len` is not 0 there is a match before.
        unsafe {
            let start = out.as_mut_ptr();
            let mut to = start.add(len);
            if literals > 3 {
                to = put_field(to, 0, literals - 3, 15);
            } else {
                *to.sub(2) |= literals as u8;
            }
            let from = page.as_ptr().add(literals_at);
            let mut done = 0;
            while done < literals {
                copy::<16>(from.add(done), to.add(done));
                done += 16;
            }
            to = to.add(literals);
            if length <= M3_LENGTH {
                return Some(put_match(start, to, distance, length));
            }
            to = put_field(to, 0x20, length - 2, M3_LENGTH - 2);
            store16(to, m3(distance));
            Some(to.add(2).offset_from_unsigned(start))
        }
    }

    #[cold]
    #[inline(never)]
    fn any(page: &Page, out: &mut [u8], len: usize, sequence: Packed) -> Option<usize> {
        let Sequence {
            literals_at,
            literals: count,
            distance,
            length,
        } = sequence.into();
        let mut writer = Writer::new(out, len);
        literals(&mut writer, &page[literals_at..literals_at + count])?;
        if length <= M2_LENGTH && distance <= M2_DISTANCE {
            writer.bytes(&m2(distance, length).to_le_bytes())?;
        } else {
            field(&mut writer, 0x20, length - 2, M3_LENGTH - 2)?;
            writer.bytes(&m3(distance).to_le_bytes())?;
        }
        Some(writer.len())
    }

    fn end(page: &Page, out: &mut [u8], len: usize, at: usize) -> Option<usize> {
        let mut writer = Writer::new(out, len);
        literals(&mut writer, &page[at..])?;
        writer.bytes(&END)?;
        Some(writer.len())
    }
}

/// Writes a match of at most [`M3_LENGTH`] bytes to `to`; returns how many bytes are written then
/// from `start` on.
///
/// # Safety
/// `start` and `to` must lie in the same object, in that order, and `to` must be valid for writing
/// 3 bytes.
#[inline(always)]
unsafe fn put_match(start: *const u8, to: *mut u8, distance: usize, length: usize) -> usize {
    debug_assert!(length <= M3_LENGTH);
    // SAFETY: as the caller says.
    unsafe {
        let end = if length <= M2_LENGTH && distance <= M2_DISTANCE {
            store16(to, m2(distance, length));
            to.add(2)
        } else {
            *to = (0x20 | (length - 2)) as u8;
            store16(to.add(1), m3(distance));
            to.add(3)
        };
        end.offset_from_unsigned(start)
    }
}

/// The two bytes of an M2 match, without literals after it.
#[inline(always)]
fn m2(distance: usize, length: usize) -> u16 {
    let back = distance - 1;
    (((length - 1) << 5) | ((back & 7) << 2) | ((back >> 3) << 8)) as u16
}

/// The last two bytes of an M3 match, without literals after it.
#[inline(always)]
fn m3(distance: usize) -> u16 {
    ((distance - 1) << 2) as u16
}

/// The most bytes that [`put_field`] writes.
const MOST_OF_A_FIELD: usize = 1 + 17;

/// Bytes that [`Streams::long`] writes besides the literals: two long lengths, a distance, and what
/// the copy of the literals writes past them.
const WRITTEN: usize = 2 * MOST_OF_A_FIELD + 2 + 15;

/// Writes an instruction with a length as [`field`] does; returns where it ends.
///
/// # Safety
/// `to` must be valid for writing [`MOST_OF_A_FIELD`] bytes, and `length` at most 4096.
#[inline(always)]
unsafe fn put_field(to: *mut u8, instruction: u8, length: usize, most: usize) -> *mut u8 {
    debug_assert!(length <= PAGE_SIZE);
    // SAFETY: as the caller says: after the instruction at most 16 bytes of zero and one more are
    // written.
    unsafe {
        if length <= most {
            *to = instruction | length as u8;
            return to.add(1);
        }
        *to = instruction;
        let to = to.add(1);
        // The last byte is not 0. A multiple of 255 by a product.
        let rest = length - most - 1;
        let full = (rest * 0x8081) >> 23;
        to.cast::<[u8; 16]>().write([0; 16]);
        *to.add(full) = (rest - 255 * full + 1) as u8;
        to.add(full + 1)
    }
}

/// Writes literals, in the way that fits what is before them.
fn literals(writer: &mut Writer<'_>, literals: &[u8]) -> Option<()> {
    match literals.len() {
        0 => return Some(()),
        length @ 1..=238 if writer.len() == 0 => writer.byte(17 + length as u8)?,
        // In the two low bits of the match before, which its last byte but one holds. There is
        // a match: literals come first, or after one.
        length @ 1..=3 => writer.or(2, length as u8)?,
        length => field(writer, 0, length - 3, 15)?,
    }
    writer.bytes(literals)
}

/// Writes an instruction with a length: in its low bits if it is at most `most`, else in
/// bytes that follow.
fn field(writer: &mut Writer<'_>, instruction: u8, length: usize, most: usize) -> Option<()> {
    if length <= most {
        return writer.byte(instruction | length as u8);
    }
    writer.byte(instruction)?;
    let mut rest = length - most;
    while rest > 255 {
        writer.byte(0)?;
        rest -= 255;
    }
    writer.byte(rest as u8)
}
