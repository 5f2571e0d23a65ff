//! Clears and copies as loops over blocks of vectors.
//!
//! LLVM knows these loops and calls the system's `memset` and `memcpy` for them. Where these have no vector registers, in
//! a kernel, it is told not to, and a page's streams are copied with a fourth of the instructions.

/// Bytes that are copied at a time: two vectors of AVX2.
const BLOCK: usize = 64;

/// Makes all entries 0, by a loop: `fill` would call `memset`.
#[inline(always)]
pub(super) fn clear(entries: &mut [u16]) {
    for entry in entries {
        *entry = 0;
    }
}

/// Copies `from` to `to`.
///
/// # Panics
/// If they differ in length.
#[inline(always)]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "lengths of a copy");
    let whole = from.as_chunks::<BLOCK>().0.iter();
    for (from, to) in whole.zip(to.as_chunks_mut::<BLOCK>().0) {
        *to = *from;
    }
    // The last block again, with what is behind the whole ones.
    match (from.last_chunk::<BLOCK>(), to.last_chunk_mut()) {
        (Some(from), Some(to)) => *to = *from,
        _ => to.copy_from_slice(from),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_length_is_copied_and_nothing_behind_it() {
        let from: Vec<u8> = (1..=255).cycle().take(5 * BLOCK).collect();
        for len in 0..=4 * BLOCK {
            let mut to = [0; 5 * BLOCK];
            copy(&from[len / 4..][..len], &mut to[..len]);
            assert_eq!(to[..len], from[len / 4..][..len], "{len}");
            assert_eq!(to[len..], [0; 5 * BLOCK][len..], "{len}");
        }
    }

    #[test]
    fn every_entry_is_cleared_and_none_behind_it() {
        for len in 0..200 {
            let mut entries = [7; 200];
            clear(&mut entries[..len]);
            assert_eq!(entries[..len], [0; 200][..len], "{len}");
            assert_eq!(entries[len..], [7; 200][len..], "{len}");
        }
    }
}
