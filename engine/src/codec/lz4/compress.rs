//! Writing LZ4 blocks.

use super::MORE;
use crate::codec::lz77::{Format, MIN_MATCH, Sequence, Writer, copy, store16};
use crate::page::{PAGE_SIZE, Page};

/// LZ4's block format, searched as LZ4's fast compressor does at acceleration 1.
pub(super) struct Blocks;

impl Format for Blocks {
    const SKIP: u32 = 6;

    #[inline(always)]
    fn sequence(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
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
            && len + 1 + 16 + 2 <= out.len()
        {
            // SAFETY: `out` has room for all that is written here, and 16 bytes from
            // `literals_at` are in the page. The distance stands at most 15 bytes behind the
            // token.
            unsafe {
                let to = out.as_mut_ptr().add(len);
                *to = (literals << 4 | more) as u8;
                copy::<16>(page.as_ptr().add(literals_at), to.add(1));
                store16(to.add(1 + literals), distance as u16);
            }
            return Some(len + 1 + literals + 2);
        }
        long_sequence(page, out, len, sequence)
    }

    fn end(page: &Page, out: &mut [u8], len: usize, at: usize) -> Option<usize> {
        let mut writer = Writer::new(out, len);
        start(&mut writer, &page[at..], 0)?;
        Some(writer.len())
    }
}

/// Writes any sequence.
#[inline(never)]
fn long_sequence(page: &Page, out: &mut [u8], len: usize, sequence: Sequence) -> Option<usize> {
    let Sequence {
        literals_at,
        literals,
        distance,
        length,
    } = sequence;
    let mut writer = Writer::new(out, len);
    start(
        &mut writer,
        &page[literals_at..literals_at + literals],
        length - MIN_MATCH,
    )?;
    writer.bytes(&(distance as u16).to_le_bytes())?;
    rest(&mut writer, length - MIN_MATCH)?;
    Some(writer.len())
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
