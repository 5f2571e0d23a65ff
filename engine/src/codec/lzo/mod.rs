//! `lzo`: LZO1X, compressed as LZO1X-1 does.
//!
//! Written from the description of the stream in the Linux kernel's
//! `Documentation/staging/lzo.rst`, not from anyone's code. An instruction is one byte and
//! what it asks for; it is a match, after which up to three literals (`S`) follow, or a run of
//! literals. `state` is the number of literals right before it, 4 for four and more.
//!
//! ```text
//! 1LLDDDSS  H       match of 5 to 8 bytes, up to 2048 back      (M2)
//! 01LDDDSS  H       match of 3 or 4 bytes, up to 2048 back      (M2)
//! 001LLLLL  LE16    match of 3 bytes or more, up to 16384 back  (M3)
//! 0001HLLL  LE16    match of 3 bytes or more, 16385 to 49151 back, or the end (M4)
//! 0000LLLL          state 0: a run of 4 or more literals
//! 0000DDSS  H       state 1 to 3: match of 2 bytes, up to 1024 back      (M1)
//! 0000DDSS  H       state 4: match of 3 bytes, 2049 to 3072 back         (M1)
//! ```
//!
//! The first byte of a stream, if above 17, is a run of that many literals less 17. The end
//! is `11 00 00`. The kernel's later version 1 (`lzo-rle`, streams that start with a 17) is
//! another format and is refused.

mod compress;
mod decompress;
#[cfg(test)]
mod tests;

use super::lz77::{self, Table};
use crate::page::Page;

pub(super) use decompress::decompress;

/// The end of a stream.
const END: [u8; 3] = [0x11, 0, 0];

/// The furthest that an M2 match reaches back.
const M2_DISTANCE: usize = 2048;

/// [`Codecs::compress`](super::Codecs::compress).
#[inline]
pub(super) fn compress(page: &Page, table: &mut Table, out: &mut [u8]) -> Option<usize> {
    lz77::compress::<compress::Streams>(table, page, out, 1)
}
