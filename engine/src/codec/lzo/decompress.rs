//! Reading LZO1X streams.

use super::{END, M2_DISTANCE};
use crate::codec::lz77::{Output, load16, zero_run};
use crate::page::Page;

/// The number of literals after which an instruction below 16 is a match of three bytes.
const MANY: usize = 4;

/// What an instruction without a long length reads at most, up to 18 literals included, and
/// what it writes at most: a match of 18 bytes and 4 for the literals behind it.
const READ: usize = 3 + 18;
const WRITTEN: usize = 18 + 4;

/// Restores a page; `None` if `chunk` is not a stream of exactly 4096 bytes.
pub(in crate::codec) fn decompress(chunk: &[u8], page: &mut Page) -> Option<()> {
    let mut out = Output::new(page);
    // Before this, READ bytes can be read without a check.
    let careful = (chunk.len() + 1).saturating_sub(READ);
    let mut at = 0;
    let mut state = 0;
    match usize::from(*chunk.first()?) {
        17 => return None,
        first @ 18.. => {
            let literals = first - 17;
            out.literals(chunk, 1, literals)?;
            at = 1 + literals;
            state = literals.min(MANY);
        }
        _ => {}
    }
    loop {
        if at < careful && out.is_under_way(WRITTEN) {
            // SAFETY: `chunk` has READ bytes at `at`.
            let next = unsafe { chunk.as_ptr().add(at + 1) };
            // SAFETY: as above.
            let byte = usize::from(unsafe { *next.sub(1) });
            if byte >= 64 {
                // SAFETY: as above.
                let high = usize::from(unsafe { *next });
                let distance = (high << 3) + (byte >> 2 & 7) + 1;
                if out.reaches_beyond_a_word(distance) {
                    state = byte & 3;
                    // SAFETY: the match has at most 8 bytes, from at least 8 back and in
                    // reach; at most 3 literals follow, of which 4 bytes are there.
                    unsafe {
                        out.tiny_match(distance, (byte >> 5) + 1);
                        out.few_literals::<4>(next.add(1), state);
                    }
                    at += 2 + state;
                    continue;
                }
            } else if byte > 32 {
                // SAFETY: as above.
                let word = unsafe { load16(next) };
                let (distance, length) = ((word >> 2) + 1, byte - 32 + 2);
                if length <= 18 && out.reaches_beyond_a_word(distance) {
                    state = word & 3;
                    // SAFETY: the match has at most 18 bytes, from at least 8 back and in
                    // reach; at most 3 literals follow, of which 4 bytes are there.
                    unsafe {
                        out.short_match::<18>(distance, length);
                        out.few_literals::<4>(next.add(2), state);
                    }
                    at += 3 + state;
                    continue;
                }
            } else if state == 0 && byte.wrapping_sub(1) < 15 {
                let literals = byte + 3;
                // SAFETY: at most 18 literals, as many as `chunk` has after the first byte and
                // the page has room for.
                unsafe { out.few_literals::<18>(next, literals) };
                at += 1 + literals;
                state = MANY;
                continue;
            }
        }
        let byte = take(chunk, &mut at)?;
        let (distance, length, literals);
        if byte >= 64 {
            let high = take(chunk, &mut at)?;
            distance = (high << 3) + (byte >> 2 & 7) + 1;
            length = (byte >> 5) + 1;
            literals = byte & 3;
        } else if byte >= 32 {
            length = 2 + field(chunk, &mut at, byte, 31)?;
            let word = take(chunk, &mut at)? | take(chunk, &mut at)? << 8;
            distance = (word >> 2) + 1;
            literals = word & 3;
        } else if byte >= 16 {
            // An M4 match lies 16385 bytes back or more, which no page has.
            let end = chunk.get(at - 1..)? == END;
            return (end && out.is_full()).then_some(());
        } else if state == 0 {
            let run = 3 + field(chunk, &mut at, byte, 15)?;
            out.literals(chunk, at, run)?;
            at += run;
            state = MANY;
            continue;
        } else {
            let high = take(chunk, &mut at)?;
            literals = byte & 3;
            (distance, length) = if state == MANY {
                ((high << 2) + (byte >> 2) + 1 + M2_DISTANCE, 3)
            } else {
                ((high << 2) + (byte >> 2) + 1, 2)
            };
        }
        out.copy_match(distance, length)?;
        out.last_literals(chunk, at, literals)?;
        at += literals;
        state = literals;
    }
}

/// Reads one byte.
#[inline(always)]
fn take(chunk: &[u8], at: &mut usize) -> Option<usize> {
    let byte = *chunk.get(*at)?;
    *at += 1;
    Some(usize::from(byte))
}

/// The length in an instruction's low bits, `most` and more in bytes that follow.
#[inline(always)]
fn field(chunk: &[u8], at: &mut usize, byte: usize, most: usize) -> Option<usize> {
    match byte & most {
        0 => Some(most + zero_run(chunk, at)?),
        length => Some(length),
    }
}
