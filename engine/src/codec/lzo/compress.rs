//! Writing LZO1X streams.

use super::{END, M2_DISTANCE};
use crate::codec::lz77::{Format, Sequence, Writer, copy, store16};
use crate::page::{PAGE_SIZE, Page};

/// The longest match that M2 and the first byte of M3 can say.
const M2_LENGTH: usize = 8;
const M3_LENGTH: usize = 33;

/// LZO1X's format, with the instructions and the patience of LZO1X-1.
pub(super) struct Streams;

impl Format for Streams {
    const SKIP: u32 = 5;

    #[inline(always)]
    fn sequence(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence;
        // A run's byte, 18 literals written as 32 bytes, a match.
        if literals > 18
            || length > M3_LENGTH
            || len < 2
            || literals_at + 32 > PAGE_SIZE
            || len + 1 + 32 + 3 > out.len()
        {
            return long_sequence(page, out, len, sequence);
        }
        // SAFETY: `out` has room for all that is written here, and 32 bytes from `literals_at`
        // are in the page. Two bytes or more were written before; the last of them are a
        // match's, as no stream starts with one and every sequence ends with one.
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
            to = to.add(literals);
            if length <= M2_LENGTH && distance <= M2_DISTANCE {
                store16(to, m2(distance, length));
                to = to.add(2);
            } else {
                *to = (0x20 | (length - 2)) as u8;
                store16(to.add(1), m3(distance));
                to = to.add(3);
            }
            Some(to.offset_from_unsigned(start))
        }
    }

    fn end(page: &Page, out: &mut [u8], len: usize, at: usize) -> Option<usize> {
        let mut writer = Writer::new(out, len);
        literals(&mut writer, &page[at..])?;
        writer.bytes(&END)?;
        Some(writer.len())
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

/// Writes any sequence.
#[inline(never)]
fn long_sequence(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
    let Sequence {
        literals_at,
        literals: count,
        distance,
        length,
    } = sequence;
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

/// Writes an instruction with a length: in its low bits where it is at most `most`, else in
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
