//! Writing LZO1X streams.

use super::{END, M2_DISTANCE};
use crate::codec::lz77::{Emit, Sequence, Table, copy, parse, store16};
use crate::page::{PAGE_SIZE, Page};

/// The patience of the search, that of LZO1X-1.
const SKIP: u32 = 5;

/// The longest match that M2 and the first byte of M3 can say.
const M2_LENGTH: usize = 8;
const M3_LENGTH: usize = 33;

/// Compresses `page` to `out`; returns the length, or `None` where `out` is too short.
pub(super) fn compress(table: &mut Table, page: &Page, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer { page, out, len: 0 };
    let anchor = parse::<SKIP>(table, page, &mut writer)?;
    writer.literals(anchor, PAGE_SIZE - anchor)?;
    writer.bytes(&END)?;
    Some(writer.len)
}

struct Writer<'a> {
    page: &'a Page,
    out: &'a mut [u8],
    len: usize,
}

impl Emit for Writer<'_> {
    #[inline(always)]
    fn emit(&mut self, sequence: Sequence) -> Option<()> {
        let Sequence {
            literals_at,
            literals,
            distance,
            length,
        } = sequence;
        let back = distance - 1;
        // A run's byte, 18 literals written as 32 bytes, a match.
        if literals <= 18
            && length <= M3_LENGTH
            && self.len > 0
            && literals_at + 32 <= PAGE_SIZE
            && self.out.len() - self.len >= 1 + 32 + 3
        {
            // SAFETY: `out` has room for all that is written here, and 32 bytes from
            // `literals_at` are in the page. Something was written before, and as no stream
            // starts with a match, that is two bytes or more.
            unsafe {
                let mut to = self.out.as_mut_ptr().add(self.len);
                if literals <= 3 {
                    *to.sub(2) |= literals as u8;
                } else {
                    *to = (literals - 3) as u8;
                    to = to.add(1);
                    self.len += 1;
                }
                let from = self.page.as_ptr().add(literals_at);
                copy::<16>(from, to);
                if literals > 16 {
                    copy::<16>(from.add(16), to.add(16));
                }
                to = to.add(literals);
                self.len += literals;
                if length <= M2_LENGTH && distance <= M2_DISTANCE {
                    store16(to, m2(back, length));
                    self.len += 2;
                } else {
                    *to = (0x20 | (length - 2)) as u8;
                    store16(to.add(1), (back << 2) as u16);
                    self.len += 3;
                }
            }
            return Some(());
        }
        self.literals(literals_at, literals)?;
        if length <= M2_LENGTH && distance <= M2_DISTANCE {
            return self.bytes(&m2(back, length).to_le_bytes());
        }
        self.field(0x20, length - 2, M3_LENGTH - 2)?;
        self.bytes(&((back << 2) as u16).to_le_bytes())
    }
}

/// The two bytes of an M2 match, without literals after it.
#[inline(always)]
fn m2(back: usize, length: usize) -> u16 {
    (((length - 1) << 5) | ((back & 7) << 2) | ((back >> 3) << 8)) as u16
}

impl Writer<'_> {
    /// Writes literals, in the way that fits what is before them.
    fn literals(&mut self, at: usize, length: usize) -> Option<()> {
        match length {
            0 => return Some(()),
            1..=238 if self.len == 0 => self.byte(17 + length as u8)?,
            // The two low bits of the match before, whose last byte but one has them. That
            // there is a match is sure: literals come first only, or after one.
            1..=3 => {
                let before = self.len - 2;
                self.out[before] |= length as u8;
            }
            _ => self.field(0, length - 3, 15)?,
        }
        let page = self.page;
        self.bytes(&page[at..at + length])
    }

    /// Writes an instruction with a length: in its low bits where it is at most `most`, else
    /// in bytes that follow.
    fn field(&mut self, instruction: u8, length: usize, most: usize) -> Option<()> {
        if length <= most {
            return self.byte(instruction | length as u8);
        }
        self.byte(instruction)?;
        let mut rest = length - most;
        while rest > 255 {
            self.byte(0)?;
            rest -= 255;
        }
        self.byte(rest as u8)
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Option<()> {
        *self.out.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}
