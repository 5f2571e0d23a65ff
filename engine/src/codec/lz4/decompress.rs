//! Reading LZ4 blocks.

use super::MORE;
use crate::codec::lz77::{MIN_MATCH, Output, load16, run_of_255};
use crate::page::Page;

/// Restores a page; `None` where `chunk` is not a block of exactly 4096 bytes.
pub(super) fn decompress(chunk: &[u8], page: &mut Page) -> Option<()> {
    let mut out = Output::new(page);
    let mut at = 0;
    loop {
        let token = usize::from(*chunk.get(at)?);
        at += 1;
        let mut literals = token >> 4;
        // Most sequences are short and far from both ends: 14 literals and the distance in
        // the chunk; 16 bytes, then 18, written to the page.
        if literals < MORE && chunk.len() - at >= 16 + 2 && out.has_room(16 + 18) {
            // SAFETY: `chunk` has 16 bytes at `at`, and the page has room for as many.
            unsafe { out.few_literals::<16>(chunk.as_ptr().add(at), literals) };
            at += literals;
            // SAFETY: `at` moved by less than 16 of the 18 bytes that `chunk` had left.
            let distance = unsafe { load16(chunk.as_ptr().add(at)) };
            let more = token & MORE;
            if more < MORE && distance >= 8 && out.reaches(distance) {
                at += 2;
                // SAFETY: the length is at most 18, the distance at least 8 and in reach,
                // and of the 34 bytes the page had left at most 16 are taken.
                unsafe { out.short_match(distance, more + MIN_MATCH) };
                continue;
            }
        } else {
            if literals == MORE {
                literals += run_of_255(chunk, &mut at)?;
            }
            out.literals(chunk, at, literals)?;
            at += literals;
            if at == chunk.len() {
                return out.is_full().then_some(());
            }
        }
        let distance = chunk.get(at..at + 2)?;
        let distance = usize::from(u16::from_le_bytes([distance[0], distance[1]]));
        at += 2;
        let mut length = token & MORE;
        if length == MORE {
            length += run_of_255(chunk, &mut at)?;
        }
        out.copy_match(distance, length + MIN_MATCH)?;
    }
}
