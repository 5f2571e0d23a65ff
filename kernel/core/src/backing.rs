//! The backing swap: a partition or file that takes pages which do not compress or do not fit.
//! Page `i` of the device has page `i` of the backing swap to itself; page 0, the header, is left
//! alone.

use core::ffi::CStr;
use core::ptr::NonNull;

use compcache_engine::page::PAGE_SIZE;

use crate::error::{BackingProblem, Error};
use crate::fallible;
use crate::params::{MIN_DISKSIZE, PAGE};
use crate::sys::{self, Bio, Cursor};

/// Steps of opening, as the kernel's side numbers them.
const STEP_MEMORY: u32 = 0;
const STEP_OPEN: u32 = 1;
const STEP_KIND: u32 = 2;
const STEP_PLACE: u32 = 4;

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
            return Err(Some(BackingProblem::NoSignature));
        }
        let mut page = fallible::collect(PAGE_SIZE, |_| Ok(0_u8)).map_err(|_| None)?;
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

/// Checks the header of a swap area that has room for `room` pages (`union swap_header` in the
/// kernel's `include/linux/swap.h`), and returns how many pages it names.
fn check_header(page: &[u8], room: u64) -> Result<u64, BackingProblem> {
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&page[at..at + 4]);
        u32::from_ne_bytes(bytes)
    };
    match &page[PAGE_SIZE - 10..] {
        b"SWAPSPACE2" => {}
        b"S1SUSPEND\0" => return Err(BackingProblem::Hibernated),
        _ => return Err(BackingProblem::NoSignature),
    }
    let (version, last_page, bad) = (number(1024), number(1028), number(1032));
    let pages = u64::from(last_page) + 1;
    if version != 1 {
        Err(BackingProblem::Version { version })
    } else if bad != 0 {
        Err(BackingProblem::BadPages { bad })
    } else if pages > room {
        Err(BackingProblem::Size { pages, room })
    } else if pages < MIN_DISKSIZE / PAGE {
        Err(BackingProblem::TooSmall { pages })
    } else {
        Ok(pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, last_page: u32, bad: u32) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        for (at, value) in [(1024, version), (1028, last_page), (1032, bad)] {
            page[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        page[PAGE_SIZE - 10..].copy_from_slice(b"SWAPSPACE2");
        page
    }

    #[test]
    fn headers_are_checked() {
        assert_eq!(check_header(&header(1, 9, 0), 10), Ok(10));
        for (page, problem) in [
            (header(2, 9, 0), BackingProblem::Version { version: 2 }),
            (header(1, 9, 3), BackingProblem::BadPages { bad: 3 }),
            (
                header(1, 10, 0),
                BackingProblem::Size {
                    pages: 11,
                    room: 10,
                },
            ),
            (header(1, 8, 0), BackingProblem::TooSmall { pages: 9 }),
            ([0; PAGE_SIZE], BackingProblem::NoSignature),
        ] {
            assert_eq!(check_header(&page, 10), Err(problem));
        }
    }
}
