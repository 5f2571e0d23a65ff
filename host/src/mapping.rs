//! Mapped memory, mmap(2).

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MlockFlags, ProtFlags};

/// A mapped region of memory that belongs to one owner; unmapped on drop. It is not part of a core
/// dump (`MADV_DONTDUMP`): what lies there belongs to other programs.
///
/// It returns pointers only. What lies there, and who else may change it, is known to whoever
/// has mapped it.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&self` gives no access to the mapped bytes but by pointers.
unsafe impl Sync for Mapping {}

#[expect(
    clippy::len_without_is_empty,
    reason = "a mapping has one byte at least"
)]
impl Mapping {
    /// `len` fresh bytes of zeros, to be read and written, without memory behind them yet.
    ///
    /// # Errors
    /// Those of mmap(2); `EINVAL` if `len` is 0.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE)
        }?;
        Mapping::of(base, len)
    }

    /// `len` bytes of what the descriptor refers to, from `offset` on, shared with all who have
    /// it.
    ///
    /// # Errors
    /// Those of mmap(2); `EINVAL` if `len` is 0.
    pub fn shared(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        protection: ProtFlags,
    ) -> io::Result<Self> {
        // SAFETY: as above.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                fd,
                offset,
            )
        }?;
        Mapping::of(base, len)
    }

    fn of(base: *mut std::ffi::c_void, len: usize) -> io::Result<Self> {
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping { base, len };
        // SAFETY: advice about a mapping of our own; it does not change what the bytes are.
        unsafe { rustix::mm::madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontDump) }?;
        Ok(mapping)
    }

    /// Its length in bytes, not 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where it starts: at a page boundary.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The byte at `offset`.
    ///
    /// # Panics
    /// If the mapping has no such byte.
    #[must_use]
    pub fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "byte {offset} of {}", self.len);
        // SAFETY: the offset lies within the mapping, as just checked.
        unsafe { self.base.add(offset) }
    }

    /// Asks for pages of the ordinary size. A kernel without huge pages refuses that, which is
    /// as good.
    pub fn refuse_huge_pages(&self) {
        // SAFETY: advice about a mapping of our own; it does not change what the bytes are.
        let _ = unsafe {
            rustix::mm::madvise(self.base.as_ptr().cast(), self.len, Advice::LinuxNoHugepage)
        };
    }

    /// Locks it in memory, mlock2(2): all of it, which is made resident for that, or with
    /// `MlockFlags::ONFAULT` what is touched later.
    ///
    /// # Errors
    /// Those of mlock2(2).
    pub fn lock(&self, flags: MlockFlags) -> Result<(), Errno> {
        // SAFETY: locking a mapping of our own does not change what the bytes are.
        unsafe { rustix::mm::mlock_with(self.base.as_ptr().cast(), self.len, flags) }
    }

    /// Makes a part of it resident, as by writing to it.
    ///
    /// # Errors
    /// Those of madvise(2); `ENOMEM` also if touching the part would raise SIGBUS: the system has no
    /// memory for it, or the file does not reach there.
    ///
    /// # Panics
    /// If that is no part of the mapping.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "within the mapping"
        );
        loop {
            // SAFETY: the range lies within the mapping, and populating it leaves its bytes as
            // they are.
            let done = unsafe {
                let start = self.base.as_ptr().add(offset).cast();
                rustix::mm::madvise(start, len, Advice::LinuxPopulateWrite)
            };
            match done {
                Err(Errno::INTR | Errno::AGAIN) => {}
                // madvise(2): populating page tables failed because a SIGBUS would have been
                // generated on actual memory access.
                Err(Errno::FAULT) => return Err(Errno::NOMEM.into()),
                other => return Ok(other?),
            }
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what was mapped; what refers to it borrows from `self` or
        // is kept no longer by whoever took a pointer.
        if let Err(errno) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) } {
            tracing::error!(
                "munmap of {} bytes failed: {}",
                self.len,
                io::Error::from(errno)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::MemfdFlags;

    use crate::{maps, proc};

    #[test]
    fn fresh_memory_is_zero_and_can_be_written() {
        let mapping = Mapping::anonymous(10_000).unwrap();
        assert_eq!(mapping.len(), 10_000);
        mapping.populate(4096, 5904).unwrap();
        let last = mapping.at(9_999);
        // SAFETY: a byte of the mapping, which only this test knows of.
        let (before, after) = unsafe {
            let before = last.read();
            last.write(7);
            (before, last.read())
        };
        assert_eq!((before, after), (0, 7));
    }

    #[test]
    fn what_is_shared_is_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let mapping =
            Mapping::shared(&file, 4096, 4096, ProtFlags::READ | ProtFlags::WRITE).unwrap();
        // SAFETY: the file has this byte, and only this test knows of it.
        unsafe { mapping.at(1).write(7) };
        let mut bytes = [0; 2];
        file.read_exact_at(&mut bytes, 4096).unwrap();
        assert_eq!(bytes, [0, 7]);
    }

    #[test]
    fn it_is_unmapped_when_it_is_dropped() {
        let memory = rustix::fs::memfd_create("to-be-unmapped", MemfdFlags::CLOEXEC).unwrap();
        let mapping = Mapping::shared(&memory, 0, 4096, ProtFlags::READ).unwrap();
        let is_mapped = || {
            let maps = proc::of(std::process::id(), "maps").unwrap();
            let name = b"/memfd:to-be-unmapped (deleted)";
            maps::parse(&maps).iter().any(|mapped| mapped.name == name)
        };
        assert!(is_mapped());
        drop(mapping);
        assert!(!is_mapped());
    }

    #[test]
    fn it_is_no_part_of_a_core_dump() {
        let memory = rustix::fs::memfd_create("not-to-be-dumped", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, 4096).unwrap();
        let shared = Mapping::shared(&memory, 0, 4096, ProtFlags::READ).unwrap();
        let anonymous = Mapping::anonymous(4096).unwrap();
        let smaps = proc::of(std::process::id(), "smaps").unwrap();
        for mapping in [shared, anonymous] {
            let address = mapping.base().as_ptr().addr() as u64;
            let mapped = maps::at(&smaps, address).unwrap();
            assert!(mapped.has_flag("dd"), "{mapped:?}");
        }
    }

    #[test]
    fn a_mapping_of_nothing_is_an_error() {
        let errors = [
            Mapping::anonymous(0),
            Mapping::shared(tempfile::tempfile().unwrap(), 0, 0, ProtFlags::READ),
        ];
        for error in errors {
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn what_the_system_refuses_to_map_is_an_error() {
        let too_much = Mapping::anonymous(usize::MAX / 2 + 1).unwrap_err();
        assert_eq!(too_much.raw_os_error(), Some(libc::ENOMEM));
        let directory = File::open("/").unwrap();
        let no_file = Mapping::shared(&directory, 0, 4096, ProtFlags::READ).unwrap_err();
        assert_eq!(no_file.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn what_would_raise_sigbus_is_not_populated() {
        let memory = rustix::fs::memfd_create("too-short", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, 4096).unwrap();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let mapping = Mapping::shared(&memory, 0, 8192, access).unwrap();
        mapping.populate(0, 4096).unwrap();
        let refused = mapping.populate(4096, 4096).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    #[should_panic(expected = "byte 4096 of 4096")]
    fn there_is_no_byte_outside() {
        let _ = Mapping::anonymous(4096).unwrap().at(4096);
    }
}
