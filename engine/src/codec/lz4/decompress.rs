//! Reading LZ4 blocks.

use super::MORE;
use crate::codec::lz77::{MIN_MATCH, Output, load16, run_of_255};
use crate::page::Page;

/// What a sequence with short literals reads at most: a token, 16 bytes for the literals, the
/// distance. With a short match it writes 16 bytes, then 18.
const READ: usize = 1 + 16 + 2;
const WRITTEN: usize = 16 + 18;

/// Restores a page; `None` if `chunk` is not a block of exactly 4096 bytes.
pub(in crate::codec) fn decompress(chunk: &[u8], page: &mut Page) -> Option<()> {
    let mut out = Output::new(page);
    let start = chunk.as_ptr();
    // Before this, READ bytes can be read without a check.
    let careful = start.wrapping_add((chunk.len() + 1).saturating_sub(READ));
    let mut at = 0;
    loop {
        let mut next = start.wrapping_add(at);
        while next < careful && out.is_under_way(WRITTEN) {
            // SAFETY: `chunk` has READ bytes at `next`.
            let token = usize::from(unsafe { *next });
            if token >= MORE << 4 {
                break;
            }
            let (literals, length) = (token >> 4, token & MORE);
            // SAFETY: `chunk` has 18 bytes behind the token, of which less than 16 are literals;
            // the page has room for 16.
            let distance = unsafe {
                out.few_literals::<16>(next.add(1), literals);
                next = next.add(1 + literals + 2);
                load16(next.sub(2))
            };
            if length < MORE && out.reaches_beyond_a_word(distance) {
                // SAFETY: the length is at most 18, the distance at least 8 and in reach, and
                // the page has room for 18 bytes after the literals.
                unsafe { out.short_match::<18>(distance, length + MIN_MATCH) };
            } else {
                let mut at = next.addr() - start.addr();
                long_match(&mut out, chunk, &mut at, distance, length)?;
                next = start.wrapping_add(at);
            }
        }
        at = next.addr() - start.addr();
        let token = usize::from(*chunk.get(at)?);
        at += 1;
        let mut literals = token >> 4;
        if literals == MORE {
            literals += run_of_255(chunk, &mut at)?;
        }
        out.literals(chunk, at, literals)?;
        at += literals;
        if at == chunk.len() {
            return out.is_full().then_some(());
        }
        let distance = chunk.get(at..at + 2)?;
        let distance = usize::from(u16::from_le_bytes([distance[0], distance[1]]));
        at += 2;
        let length = token & MORE;
        if length < MORE && out.is_under_way(18) && out.reaches_beyond_a_word(distance) {
            // SAFETY: the length is at most 18, the distance at least 8 and in reach, and the
            // page has room for 18 bytes.
            unsafe { out.short_match::<18>(distance, length + MIN_MATCH) };
        } else {
            long_match(&mut out, chunk, &mut at, distance, length)?;
        }
    }
}

/// Appends a match of any length, of which `length` is the token's field.
#[inline(always)]
fn long_match(
    out: &mut Output<'_>,
    chunk: &[u8],
    at: &mut usize,
    distance: usize,
    mut length: usize,
) -> Option<()> {
    if length == MORE {
        length += run_of_255(chunk, at)?;
    }
    out.copy_match(distance, length + MIN_MATCH)
}
