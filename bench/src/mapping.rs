//! Pages mapped into memory.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use compcache_engine::{PAGE_SIZE, Page};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

/// Pages that were mapped for one owner.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<Page>,
    pages: usize,
}

impl Mapping {
    /// Fresh pages of zeros, each to be faulted in by itself.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn fresh(pages: usize) -> io::Result<Mapping> {
        let length = pages * PAGE_SIZE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping where the kernel chooses touches no other memory.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), length, protection, MapFlags::PRIVATE)? };
        // SAFETY: the range is the mapping; the advice does not change its bytes. A kernel
        // without huge pages refuses it, which is as good.
        let _ = unsafe { madvise(base, length, Advice::LinuxNoHugepage) };
        Mapping::of(base, pages)
    }

    /// The whole pages of a file that nobody changes, as a copy that is made when written to.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn of_file(file: &File) -> io::Result<Mapping> {
        let pages = file.metadata()?.len() as usize / PAGE_SIZE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                pages * PAGE_SIZE,
                protection,
                MapFlags::PRIVATE,
                file,
                0,
            )?
        };
        Mapping::of(base, pages)
    }

    fn of(base: *mut std::ffi::c_void, pages: usize) -> io::Result<Mapping> {
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, pages })
    }

    /// The pages.
    pub(crate) fn pages(&self) -> &[Page] {
        // SAFETY: the mapping is there for as long as `self`, readable, and borrowed with it.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.pages) }
    }

    /// The pages, to be changed.
    pub(crate) fn pages_mut(&mut self) -> &mut [Page] {
        // SAFETY: as above; the mapping is private and writable, and `self` its only owner.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.pages) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what was mapped, and nothing borrows from it any more.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.pages * PAGE_SIZE) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
