//! The backing swap: a partition or file that takes pages which do not compress or do not fit.
//! Page `i` of the device has page `i` of the backing swap to itself; page 0, the header, is left
//! alone.

use core::ffi::CStr;
use core::ptr::NonNull;

use compcache_engine::Page;
use compcache_engine::disk::{MIN_DISKSIZE, PAGE};
use compcache_engine::fallible::{NoMemory, boxed_page};
use compcache_engine::swap_header::SwapHeader;

use crate::error::{BackingProblem, Error, no_memory};
use crate::sys::{self, Bio, BioIter, FileSystem};

/// Steps of opening, as the kernel's side numbers them.
const STEP_MEMORY: u32 = 0;
const STEP_OPEN: u32 = 1;
const STEP_KIND: u32 = 2;
const STEP_PLACE: u32 = 4;
const STEP_OURS: u32 = 5;

/// File systems, by the magic number of their superblock, that leave the blocks of a file where
/// they are while it is marked as swap (`S_SWAPFILE`): they allocate in place, and what moves blocks
/// there (defragmentation, exchange of ranges, copies that share blocks) refuses such a file. Others
/// tell places as well and move what lies there anyway: the garbage collector of f2fs asks
/// for no mark, and what came after would be overwritten.
const KEEP_PLACES: [u64; 2] = [
    // ext2, ext3 and ext4.
    0xef53,
    // xfs; of its realtime part, which is another disk, it tells no place.
    0x5846_5342,
];

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
    /// Opens the swap area at `path` (which ends with a 0) for device `number`, checks it and claims it.
    /// May sleep.
    pub(crate) fn open(number: u32, path: &[u8]) -> Result<Self, Error<'_>> {
        let (text, failed) = (
            CStr::from_bytes_until_nul(path).unwrap_or_default(),
            |problem| Error::Backing { path, problem },
        );
        let (mut bytes, mut step, mut error) = (0, 0, 0);
        let mut found = FileSystem::default();
        // SAFETY: the text ends with a 0.
        let backing = unsafe {
            sys::rzk_backing_open(text.as_ptr(), &mut bytes, &mut found, &mut step, &mut error)
        };
        let Some(backing) = NonNull::new(backing) else {
            return Err(match (step, -error) {
                (STEP_MEMORY, _) => no_memory("the backing swap", PAGE)(NoMemory),
                (_, sys::EBUSY | sys::ETXTBSY) => failed(BackingProblem::Busy),
                (STEP_KIND, _) => failed(BackingProblem::Kind),
                (STEP_OURS, _) => failed(BackingProblem::Ours),
                (STEP_PLACE, _) => failed(BackingProblem::FileSystem { found }),
                (_, code @ (sys::EACCES | sys::EROFS)) => failed(BackingProblem::ReadOnly { code }),
                (STEP_OPEN, code) | (_, code) => failed(BackingProblem::Open { code }),
            });
        };
        let mut swap = BackingSwap { backing, pages: 0 };
        if !keeps_places(&found) {
            return Err(failed(BackingProblem::FileSystem { found }));
        }
        // Before it is asked where its first page lies.
        let room = SwapHeader::room(bytes).map_err(|e| failed(BackingProblem::Header(e)))?;
        swap.map(1).map_err(failed)?;
        let pages = swap.read_header(room).map_err(|problem| match problem {
            Some(problem) => failed(problem),
            None => no_memory("the backing swap's header", PAGE)(NoMemory),
        })?;
        swap.map(pages).map_err(failed)?;
        swap.pages = pages;
        // SAFETY: it is open, and has no threads.
        if unsafe { sys::rzk_workers_start(swap.as_ptr(), number) } != 0 {
            let what = "the backing swap's threads and requests";
            return Err(no_memory(what, PAGE)(NoMemory));
        }
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
        match -unsafe { sys::rzk_backing_bmap(self.backing.as_ptr(), pages, &mut page) } {
            0 => Ok(()),
            sys::ENXIO => Err(BackingProblem::Hole { page }),
            sys::EFBIG => Err(BackingProblem::LargeBlocks),
            sys::ENOMEM => Err(BackingProblem::NoMemory),
            code => Err(BackingProblem::Place { code }),
        }
    }

    /// The number of pages that its header names; `None` if there is no memory to read it.
    fn read_header(&self, room: u64) -> Result<u64, Option<BackingProblem>> {
        let mut page = boxed_page().map_err(|_| None)?;
        // SAFETY: the memory is a page of `rzk_alloc`'s.
        let code = -unsafe {
            sys::rzk_backing_read_page(self.backing.as_ptr(), 0, page.as_mut_ptr().cast())
        };
        if code != 0 {
            return Err(Some(BackingProblem::Read { code }));
        }
        check_header(&page, room).map_err(Some)
    }

    /// As the kernel's side knows it.
    pub(crate) fn as_ptr(&self) -> *mut sys::Backing {
        self.backing.as_ptr()
    }

    /// Reads a page of a request, that at a cursor, and waits for that. May sleep.
    ///
    /// Returns 0 or a negative error number.
    pub(crate) fn reread(&self, page: u64, bio: *mut Bio, cursor: &BioIter) -> i32 {
        // SAFETY: the page was mapped, and the request has one at the cursor.
        unsafe { sys::rzk_backing_reread(self.as_ptr(), page, bio, cursor) }
    }
}

impl Drop for BackingSwap {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing is under way: its device has no requests left.
        unsafe {
            sys::rzk_workers_stop(self.backing.as_ptr());
            sys::rzk_backing_close(self.backing.as_ptr());
        }
    }
}

/// Whether a backing swap stays where it is: a partition does, or a file on such a file system.
fn keeps_places(found: &FileSystem) -> bool {
    *found == FileSystem::default() || KEEP_PLACES.contains(&found.magic)
}

impl FileSystem {
    /// The name of its kind.
    pub(crate) fn kind(&self) -> &[u8] {
        let name = CStr::from_bytes_until_nul(&self.name).unwrap_or_default();
        name.to_bytes()
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
    use compcache_engine::swap_header::HeaderError;

    #[test]
    fn files_serve_where_their_blocks_stay() {
        let of = |magic, kind: &str| {
            let mut found = FileSystem {
                magic,
                ..FileSystem::default()
            };
            found.name[..kind.len()].copy_from_slice(kind.as_bytes());
            found
        };
        assert!(keeps_places(&FileSystem::default()), "a partition");
        for (magic, kind) in [(0xef53, "ext4"), (0xef53, "ext2"), (0x5846_5342, "xfs")] {
            assert!(keeps_places(&of(magic, kind)), "{kind}");
        }
        for (magic, kind) in [
            (0xf2f5_2010, "f2fs"),
            (0x9123_683e, "btrfs"),
            (0x794c_7630, "overlay"),
            (0x0102_1994, "tmpfs"),
            (0, "unknown"),
        ] {
            let found = of(magic, kind);
            assert!(!keeps_places(&found), "{kind}");
            let message = std::string::ToString::to_string(&BackingProblem::FileSystem { found });
            assert!(
                message.starts_with(&std::format!("its file system, {kind}, does not")),
                "{message}"
            );
        }
    }

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
