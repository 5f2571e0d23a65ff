//! Writing LZ4 blocks.

use crate::codec::lz77::{Emit, MIN_MATCH, Sequence, Table, copy, parse, store16};
use crate::page::{PAGE_SIZE, Page};

/// A token's field that says: more bytes follow.
const MORE: usize = 15;

/// The patience of the search, that of LZ4's fast compressor at acceleration 1.
const SKIP: u32 = 6;

/// Compresses `page` to `out`; returns the length, or `None` where `out` is too short.
pub(super) fn compress(table: &mut Table, page: &Page, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer { page, out, len: 0 };
    let anchor = parse::<SKIP>(table, page, &mut writer)?;
    writer.last_literals(anchor)?;
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
        let more = length - MIN_MATCH;
        // Token, 16 bytes written for the literals, distance.
        if literals < MORE
            && more < MORE
            && literals_at + 16 <= PAGE_SIZE
            && self.out.len() - self.len >= 1 + 16 + 2
        {
            // SAFETY: `out` has room for all that is written here, and 16 bytes from
            // `literals_at` are in the page. The distance stands at most 15 bytes behind the
            // token.
            unsafe {
                let to = self.out.as_mut_ptr().add(self.len);
                *to = (literals << 4 | more) as u8;
                copy::<16>(self.page.as_ptr().add(literals_at), to.add(1));
                store16(to.add(1 + literals), distance as u16);
            }
            self.len += 1 + literals + 2;
            return Some(());
        }
        self.token(literals, more)?;
        self.literals(literals_at, literals)?;
        self.bytes(&(distance as u16).to_le_bytes())?;
        self.more(more)
    }
}

impl Writer<'_> {
    /// Writes the token and what follows it before the literals.
    fn token(&mut self, literals: usize, more: usize) -> Option<()> {
        self.byte((literals.min(MORE) << 4 | more.min(MORE)) as u8)?;
        self.more(literals)
    }

    /// Writes what of `length` the token's field could not hold.
    fn more(&mut self, length: usize) -> Option<()> {
        let Some(mut rest) = length.checked_sub(MORE) else {
            return Some(());
        };
        while rest >= 255 {
            self.byte(255)?;
            rest -= 255;
        }
        self.byte(rest as u8)
    }

    fn literals(&mut self, at: usize, length: usize) -> Option<()> {
        let page = self.page;
        self.bytes(&page[at..at + length])
    }

    /// Writes the sequence that has no match.
    fn last_literals(&mut self, at: usize) -> Option<()> {
        self.token(PAGE_SIZE - at, 0)?;
        self.literals(at, PAGE_SIZE - at)
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
