//! The backing swap: a partition or file that takes pages which do not compress or do not fit.
//! Page `i` of the device has page `i` of the backing swap to itself; page 0, the header, is left
//! alone.

use core::ffi::CStr;
use core::ptr::NonNull;

use compcache_engine::Page;
use compcache_engine::fallible::boxed_page;
use compcache_engine::swap_header::{HeaderError, SwapHeader};

use crate::error::{BackingProblem, Error};
use crate::params::{MIN_DISKSIZE, PAGE};
use crate::sys::{self, Bio, Cursor};

/// Steps of opening, as the kernel's side numbers them.
const STEP_MEMORY: u32 = 0;
const STEP_OPEN: u32 = 1;
const STEP_KIND: u32 = 2;
const STEP_PLACE: u32 = 4;
const STEP_OURS: u32 = 5;

/// A swap area that nobody else uses, closed on drop.
#[derive(Debug)]
pub(crate) struct BackingSwap {
    backing: NonNull<sys::Backing>,
    pages: u64,
}

// SAFETY: transfers may be made by several threads at once; opening, mapping and closing are not.
unsafe impl Send for BackingSwap {}
// SAFETY: as above.
unsafe impl Sync for BackingSwap {}

impl BackingSwap {
    /// Opens the swap area at `path` (which ends with a 0), checks it and claims it. May sleep.
    pub(crate) fn open(path: &[u8]) -> Result<Self, Error<'_>> {
        let (text, failed) = (
            CStr::from_bytes_until_nul(path).unwrap_or_default(),
            |problem| Error::Backing { path, problem },
        );
        let (mut room, mut step, mut error) = (0, 0, 0);
        // SAFETY: the text ends with a 0.
        let backing =
            unsafe { sys::rzk_backing_open(text.as_ptr(), &mut room, &mut step, &mut error) };
        let Some(backing) = NonNull::new(backing) else {
            return Err(match (step, -error) {
                (STEP_MEMORY, _) => Error::NoMemory {
                    what: "the backing swap's requests",
                    bytes: PAGE,
                },
                (_, sys::EBUSY | sys::ETXTBSY) => failed(BackingProblem::Busy),
                (STEP_KIND, _) => failed(BackingProblem::Kind),
                (STEP_OURS, _) => failed(BackingProblem::Ours),
                (STEP_PLACE, _) => failed(BackingProblem::NoMap),
                (STEP_OPEN, code) | (_, code) => failed(BackingProblem::Open { code }),
            });
        };
        let mut swap = BackingSwap { backing, pages: 0 };
        swap.map(1).map_err(failed)?;
        let pages = swap.read_header(room).map_err(|problem| match problem {
            Some(problem) => failed(problem),
            None => Error::NoMemory {
                what: "the backing swap's header",
                bytes: PAGE,
            },
        })?;
        swap.map(pages).map_err(failed)?;
        swap.pages = pages;
        Ok(swap)
    }

    /// Its pages, the header included: as many as the device will have.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Finds where its first pages lie.
    fn map(&self, pages: u64) -> Result<(), BackingProblem> {
        let mut page = 0;
        // SAFETY: it is open, and nothing is under way.
        match -unsafe { sys::rzk_backing_map(self.backing.as_ptr(), pages, &mut page) } {
            0 => Ok(()),
            sys::ENXIO => Err(BackingProblem::Hole { page }),
            _ => Err(BackingProblem::NoMap),
        }
    }

    /// The number of pages that its header names; `None` where there is no memory to read it.
    fn read_header(&self, room: u64) -> Result<u64, Option<BackingProblem>> {
        if room == 0 {
            return Err(Some(BackingProblem::Header(HeaderError::NoSignature)));
        }
        let mut page = boxed_page().map_err(|_| None)?;
        // SAFETY: the memory is a page of `rzk_alloc`'s.
        let code =
            -unsafe { sys::rzk_backing_read(self.backing.as_ptr(), 0, page.as_mut_ptr().cast()) };
        if code != 0 {
            return Err(Some(BackingProblem::Read { code }));
        }
        check_header(&page, room).map_err(Some)
    }

    /// Moves pages of a request, from its cursor on, and waits for that. May sleep.
    ///
    /// Returns 0 or a negative error number.
    pub(crate) fn transfer(
        &self,
        write: bool,
        first: u64,
        count: u64,
        bio: *mut Bio,
        cursor: &Cursor,
    ) -> i32 {
        // SAFETY: the pages were mapped, and the request has as many from the cursor on.
        unsafe {
            sys::rzk_backing_transfer(self.backing.as_ptr(), write, first, count, bio, cursor)
        }
    }
}

impl Drop for BackingSwap {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing is under way: its device has no requests left.
        unsafe { sys::rzk_backing_close(self.backing.as_ptr()) }
    }
}

/// How many pages the header of a swap area names that has room for `room` pages.
fn check_header(page: &Page, room: u64) -> Result<u64, BackingProblem> {
    let header = SwapHeader::check(page, room).map_err(BackingProblem::Header)?;
    let pages = u64::from(header.last_page) + 1;
    if pages < MIN_DISKSIZE / PAGE {
        return Err(BackingProblem::TooSmall { pages });
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked() {
        let header = |pages| SwapHeader::fresh(pages, [7; 16], "").to_page();
        assert_eq!(check_header(&header(10), 10), Ok(10));
        let small = BackingProblem::TooSmall { pages: 9 };
        assert_eq!(check_header(&header(9), 10), Err(small));
        for (page, room, error) in [
            (
                header(11),
                10,
                HeaderError::Truncated {
                    last_page: 10,
                    pages: 10,
                },
            ),
            ([0; 4096], 10, HeaderError::NoSignature),
        ] {
            let problem = BackingProblem::Header(error);
            assert_eq!(check_header(&page, room), Err(problem));
        }
    }
}
