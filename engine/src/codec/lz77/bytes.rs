//! Unaligned loads, stores and copies, and the length code that LZ4 and LZO share.

/// Reads two bytes, little-endian.
///
/// # Safety
/// `at` must be valid for reading 2 bytes.
#[inline(always)]
pub(in crate::codec) unsafe fn load16(at: *const u8) -> usize {
    // SAFETY: the caller vouches for the bytes; the read needs no alignment.
    usize::from(u16::from_le(unsafe { at.cast::<u16>().read_unaligned() }))
}

/// Reads four bytes, little-endian.
///
/// # Safety
/// `at` must be valid for reading 4 bytes.
#[inline(always)]
pub(in crate::codec) unsafe fn load32(at: *const u8) -> u32 {
    // SAFETY: the caller vouches for the bytes; the read needs no alignment.
    u32::from_le(unsafe { at.cast::<u32>().read_unaligned() })
}

/// Reads eight bytes, little-endian.
///
/// # Safety
/// `at` must be valid for reading 8 bytes.
#[inline(always)]
pub(in crate::codec) unsafe fn load64(at: *const u8) -> u64 {
    // SAFETY: the caller vouches for the bytes; the read needs no alignment.
    u64::from_le(unsafe { at.cast::<u64>().read_unaligned() })
}

/// Writes two bytes, little-endian.
///
/// # Safety
/// `at` must be valid for writing 2 bytes.
#[inline(always)]
pub(in crate::codec) unsafe fn store16(at: *mut u8, value: u16) {
    // SAFETY: the caller vouches for the bytes; the write needs no alignment.
    unsafe { at.cast::<u16>().write_unaligned(value.to_le()) }
}

/// Copies `N` bytes through a register: all are read before any is written, so the two
/// places may overlap.
///
/// # Safety
/// `from` must be valid for reading `N` bytes and `to` for writing `N`.
#[inline(always)]
pub(in crate::codec) unsafe fn copy<const N: usize>(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both places; `[u8; N]` needs no alignment.
    unsafe { to.cast::<[u8; N]>().write(from.cast::<[u8; N]>().read()) }
}

/// Reads the continuation of a length: bytes of 255 and one that is less, added up.
///
/// `at` is moved past it. `None` if `chunk` ends before the last byte, or if the sum
/// passes what a page can hold. LZ4 adds bytes as they are. LZO writes a zero for each 255,
/// see [`zero_run`].
#[inline]
pub(in crate::codec) fn run_of_255(chunk: &[u8], at: &mut usize) -> Option<usize> {
    let mut sum = 0;
    loop {
        let byte = *chunk.get(*at)?;
        *at += 1;
        sum += usize::from(byte);
        if byte != 255 {
            return Some(sum);
        }
        if sum > crate::page::PAGE_SIZE {
            return None;
        }
    }
}

/// Reads LZO's continuation of a length: 255 for each zero byte, and one that is not zero.
///
/// `at` is moved past it. `None` as for [`run_of_255`].
#[inline]
pub(in crate::codec) fn zero_run(chunk: &[u8], at: &mut usize) -> Option<usize> {
    let mut sum = 0;
    loop {
        let byte = *chunk.get(*at)?;
        *at += 1;
        if byte != 0 {
            return Some(sum + usize::from(byte));
        }
        sum += 255;
        if sum > crate::page::PAGE_SIZE {
            return None;
        }
    }
}
