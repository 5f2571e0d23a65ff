//! Reading LZ4 blocks.

use super::MORE;
use crate::codec::lz77::{MIN_MATCH, Output, load16, run_of_255};
use crate::page::Page;

/// What a sequence with short literals reads at most: a token, 16 bytes for the literals, the
/// distance. With a short match it writes 16 bytes, then 18.
const READ: usize = 1 + 16 + 2;
const WRITTEN: usize = 16 + 18;

/// Restores a page; `None` where `chunk` is not a block of exactly 4096 bytes.
pub(in crate::codec) fn decompress(chunk: &[u8], page: &mut Page) -> Option<()> {
    let mut out = Output::new(page);
    // Before this, READ bytes can be read without a check.
    let careful = (chunk.len() + 1).saturating_sub(READ);
    let mut at = 0;
    loop {
        if at < careful && out.has_room(WRITTEN) {
            // SAFETY: `chunk` has READ bytes at `at`.
            let next = unsafe { chunk.as_ptr().add(at + 1) };
            // SAFETY: as above.
            let token = usize::from(unsafe { *next.sub(1) });
            let (literals, length) = (token >> 4, token & MORE);
            if literals < MORE {
                // SAFETY: `chunk` has 18 bytes at `next`, of which less than 16 are literals;
                // the page has room for 16.
                let distance = unsafe {
                    out.few_literals::<16>(next, literals);
                    load16(next.add(literals))
                };
                at += 1 + literals + 2;
                if length < MORE && out.reaches_beyond_a_word(distance) {
                    // SAFETY: the length is at most 18, the distance at least 8 and in reach,
                    // and the page has room for 18 bytes after the literals.
                    unsafe { out.short_match(distance, length + MIN_MATCH) };
                } else {
                    long_match(&mut out, chunk, &mut at, distance, length)?;
                }
                continue;
            }
        }
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
        long_match(&mut out, chunk, &mut at, distance, token & MORE)?;
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
