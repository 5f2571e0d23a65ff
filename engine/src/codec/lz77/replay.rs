//! Restoring a page from literals and matches.

use super::bytes::{copy, load64};
use crate::page::{PAGE_SIZE, Page};

/// Bytes that are copied at once at least.
const WORD: usize = 8;

/// A page that is being restored from its start.
///
/// Writes may run past the end of what they append, but never past the page's: what is
/// behind the end is overwritten later.
pub(in crate::codec) struct Output<'a> {
    page: &'a mut Page,
    /// The number of bytes so far, less a word's 8, modulo 2⁶⁴: so one comparison tells whether a
    /// distance is 8 or more and in reach.
    past: usize,
}

impl<'a> Output<'a> {
    /// Starts a page.
    #[inline(always)]
    pub(in crate::codec) fn new(page: &'a mut Page) -> Self {
        Output {
            page,
            past: 0_usize.wrapping_sub(WORD),
        }
    }

    /// The number of bytes so far.
    #[inline(always)]
    fn len(&self) -> usize {
        self.past.wrapping_add(WORD)
    }

    #[inline(always)]
    fn advance(&mut self, bytes: usize) {
        self.past = self.past.wrapping_add(bytes);
    }

    /// Whether the page is complete.
    #[inline(always)]
    pub(in crate::codec) fn is_full(&self) -> bool {
        self.len() == PAGE_SIZE
    }

    /// Whether `bytes` more bytes fit, be they wanted or only written past the end.
    #[inline(always)]
    pub(in crate::codec) fn has_room(&self, bytes: usize) -> bool {
        bytes <= PAGE_SIZE - self.len()
    }

    /// Whether a match can be `distance` back.
    #[inline(always)]
    pub(in crate::codec) fn reaches(&self, distance: usize) -> bool {
        // Zero becomes the largest number, so one comparison covers both bounds.
        distance.wrapping_sub(1) < self.len()
    }

    /// Whether 8 bytes or more are there, and `bytes` more fit.
    #[inline(always)]
    pub(in crate::codec) fn is_under_way(&self, bytes: usize) -> bool {
        self.past <= PAGE_SIZE - WORD - bytes
    }

    /// Whether a match can be `distance` back, which must be 8 or more, if at least 8 bytes are
    /// there.
    #[inline(always)]
    pub(in crate::codec) fn reaches_beyond_a_word(&self, distance: usize) -> bool {
        debug_assert!(self.len() >= WORD);
        // A distance below 8 becomes a large number, so one comparison covers both bounds.
        distance.wrapping_sub(WORD) <= self.past
    }

    /// Appends `length` literals that stand at `at` in `chunk`; `None` if either ends
    /// before.
    #[inline(always)]
    pub(in crate::codec) fn literals(
        &mut self,
        chunk: &[u8],
        at: usize,
        length: usize,
    ) -> Option<()> {
        let literals = chunk.get(at..)?;
        if length > literals.len() || !self.has_room(length) {
            return None;
        }
        let (from, to) = (literals.as_ptr(), self.end());
        if literals.len() >= length + 32 && self.has_room(length + 32) {
            // Few are longer than this, and a loop has its price.
            // SAFETY: both `literals` and the page have `length` + 32 bytes left.
            unsafe { copy::<32>(from, to) };
            let mut done = 32;
            while done < length {
                // SAFETY: `done` + 32 is less than `length` + 32.
                unsafe { copy::<32>(from.add(done), to.add(done)) };
                done += 32;
            }
        } else {
            // SAFETY: both `literals` and the page have `length` bytes left, and `literals` is
            // borrowed while the page is borrowed mutably: they do not overlap.
            unsafe { to.copy_from_nonoverlapping(from, length) };
        }
        self.advance(length);
        Some(())
    }

    /// Appends up to 3 literals as [`literals`](Self::literals) does.
    #[inline(always)]
    pub(in crate::codec) fn last_literals(
        &mut self,
        chunk: &[u8],
        at: usize,
        length: usize,
    ) -> Option<()> {
        debug_assert!(length <= 3);
        match chunk.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            Some(four) if self.has_room(4) => {
                // SAFETY: four bytes are there, and the page has room for them.
                unsafe { self.few_literals::<4>(four.as_ptr(), length) };
                Some(())
            }
            _ => self.literals(chunk, at, length),
        }
    }

    /// Appends up to `N` literals without a check.
    ///
    /// # Safety
    /// `from` must be valid for reading `N` bytes, `length` at most `N`, and
    /// [`has_room(N)`](Self::has_room) true.
    #[inline(always)]
    pub(in crate::codec) unsafe fn few_literals<const N: usize>(
        &mut self,
        from: *const u8,
        length: usize,
    ) {
        debug_assert!(length <= N && self.has_room(N));
        // SAFETY: the caller vouches for `N` bytes at `from` and in the page.
        unsafe { copy::<N>(from, self.end()) };
        self.advance(length);
    }

    /// Appends a match of up to `N` bytes, 16 or 18, from at least 8 back, without a check.
    ///
    /// # Safety
    /// `length` must be at most `N`, `distance` at least 8, and
    /// [`reaches(distance)`](Self::reaches) and [`has_room(N)`](Self::has_room) true.
    #[inline(always)]
    pub(in crate::codec) unsafe fn short_match<const N: usize>(
        &mut self,
        distance: usize,
        length: usize,
    ) {
        debug_assert!(length <= N && distance >= WORD);
        debug_assert!(self.reaches(distance) && self.has_room(N));
        let to = self.end();
        // SAFETY: the page has `N` bytes left after its end and `distance` before it. Eight
        // bytes at a time from at least eight back read what is already written.
        unsafe {
            let from = to.sub(distance).cast_const();
            copy::<8>(from, to);
            copy::<8>(from.add(8), to.add(8));
            if N > 16 && length > 16 {
                // Rare, and a load that straddles fresh stores has to wait.
                copy::<2>(from.add(16), to.add(16));
            }
        }
        self.advance(length);
    }

    /// Appends a match of up to 8 bytes from at least 8 back, without a check.
    ///
    /// # Safety
    /// `length` must be at most 8, `distance` at least 8, and
    /// [`reaches(distance)`](Self::reaches) and [`has_room(8)`](Self::has_room) true.
    #[inline(always)]
    pub(in crate::codec) unsafe fn tiny_match(&mut self, distance: usize, length: usize) {
        debug_assert!(length <= 8 && distance >= 8);
        debug_assert!(self.reaches(distance) && self.has_room(8));
        let to = self.end();
        // SAFETY: the page has 8 bytes left after its end and `distance` before it.
        unsafe { copy::<8>(to.sub(distance), to) };
        self.advance(length);
    }

    /// Appends a match of any length and distance; `None` if it starts before the page or
    /// passes its end.
    #[inline(always)]
    pub(in crate::codec) fn copy_match(&mut self, distance: usize, length: usize) -> Option<()> {
        if !self.reaches(distance) {
            return None;
        }
        if !self.has_room(length + 32) {
            if !self.has_room(length) {
                return None;
            }
            let len = self.len();
            last_match(self.page, len, distance, length);
            self.advance(length);
            return Some(());
        }
        let to = self.end();
        let mut back = distance;
        let mut done = 0;
        if distance < 16 {
            // SAFETY: the page has 16 bytes left, and `distance` before its end.
            unsafe { seed_period(to, distance) };
            back = WHOLE_PERIODS[distance].into();
            done = 16;
        }
        while done < length {
            // SAFETY: the page has room for `length` + 32 bytes. `back` is either `distance`,
            // which lies in the page, or less than 16 + `distance` after 16 bytes; being 16 or
            // more, both loads read only what is already written.
            unsafe {
                let at = to.add(done);
                let from = at.sub(back).cast_const();
                copy::<16>(from, at);
                copy::<16>(from.add(16), at.add(16));
            }
            done += 32;
        }
        self.advance(length);
        Some(())
    }

    #[inline(always)]
    fn end(&mut self) -> *mut u8 {
        // SAFETY: the length never passes the page's size.
        unsafe { self.page.as_mut_ptr().add(self.len()) }
    }
}

/// Appends a match that reaches up to the page's last bytes, without a check of its own, after
/// the first `len` bytes.
///
/// It gets no [`Output`], which would have to live in memory for it all the time.
#[cold]
fn last_match(page: &mut Page, mut len: usize, distance: usize, length: usize) {
    let end = len + length;
    // Bytes up to the match itself do not overlap: at most `distance` at once, which doubles as
    // whole periods pile up.
    let start = len - distance;
    while len < end {
        let chunk = (end - len).min(len - start);
        page.copy_within(start..start + chunk, len);
        len += chunk;
    }
}

/// For each distance below 16 the smallest multiple of it that is at least 16.
///
/// After [`seed_period`] the match goes on so many bytes back. The multiple is less than
/// 16 + distance, so the bytes there belong to the match or to its source.
static WHOLE_PERIODS: [u8; 16] = whole_periods(16);

/// The same for the words of [`seed_period`].
static WHOLE_PERIODS_OF_A_WORD: [u8; 16] = whole_periods(8);

const fn whole_periods(least: u8) -> [u8; 16] {
    let mut table = [least; 16];
    let mut distance = 1;
    while distance < 16 {
        table[distance as usize] = least.div_ceil(distance) * distance;
        distance += 1;
    }
    table
}

/// A word times the entry repeats its lowest so many bytes, if the others are zero.
static REPEAT: [u64; 8] = {
    let mut table = [0; 8];
    let mut distance = 1;
    while distance < 8 {
        let mut shift = 0;
        while shift < 64 {
            table[distance] |= 1 << shift;
            shift += 8 * distance;
        }
        distance += 1;
    }
    table
};

/// Writes 16 bytes at `to`, repeating the `distance` bytes before it.
///
/// # Safety
/// `distance` must be 1 to 15; the `distance` bytes before `to` must be valid for reading and
/// the 16 bytes at `to` for reading and writing.
#[inline(always)]
unsafe fn seed_period(to: *mut u8, distance: usize) {
    debug_assert!((1..16).contains(&distance));
    // SAFETY: reads start `distance` bytes before `to` and end before `to` + 16, as do the
    // writes, which start at `to`. The second word is read from at least 8 bytes before it,
    // whole periods back, but less than 8 + `distance`: from what is written by then.
    unsafe {
        let from = to.sub(distance).cast_const();
        if distance < 8 {
            let period = load64(from) & ((1 << (8 * distance)) - 1);
            let word = period.wrapping_mul(REPEAT[distance]).to_le();
            to.cast::<u64>().write_unaligned(word);
        } else {
            copy::<8>(from, to);
        }
        let back = WHOLE_PERIODS_OF_A_WORD[distance].into();
        copy::<8>(to.add(8).sub(back), to.add(8));
    }
}
