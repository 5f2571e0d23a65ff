//! The engine's host on Linux: memory in memfds, locks of parking_lot, the monotonic clock.
//!
//! Pool frames and slot table each live in a memfd of mode 0600, so that a later process can
//! inherit them. Both are mapped in full but hold memory only where they were populated. Nothing is
//! touched before: if the system has no memory for a page of a memfd (`vm.overcommit_memory=2`, a
//! limit), whoever touches it dies of SIGBUS, while populating it is refused.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use compcache_engine::codec::Builtin;
use compcache_engine::fallible::NoMemory;
use compcache_engine::host::FRAME_SIZE;
use compcache_engine::host::heap::StdTime;
use compcache_engine::{FrameMemory, Host, SlotMemory};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MlockFlags, ProtFlags};

use crate::keeper::Wake;
use crate::mapping::Mapping;
use crate::{remedy, sched};

/// Memory can't be reserved.
#[derive(Debug, thiserror::Error)]
#[error("no memory for {what} ({bytes} bytes): {source}")]
pub struct MemoryError {
    /// What it was for.
    pub what: &'static str,
    /// How many bytes.
    pub bytes: u64,
    /// The system's reason.
    pub source: io::Error,
}

/// Memory that the system did not lock. It works, but may itself be swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} could not be locked in memory ({}): under memory pressure it may itself be swapped; \
     {}, or raise RLIMIT_MEMLOCK", io::Error::from(*.errno), remedy::root("CAP_IPC_LOCK")
)]
pub struct NotLocked {
    /// What the memory is for.
    pub what: &'static str,
    /// The system's reason.
    pub errno: Errno,
}

/// Locks, time and the wake-ups of the background threads.
pub struct LinuxHost {
    time: StdTime,
    keeper: Arc<Wake>,
    recompressor: Arc<Wake>,
}

impl LinuxHost {
    /// A host whose background threads listen to these.
    #[must_use]
    pub fn new(keeper: Arc<Wake>, recompressor: Arc<Wake>) -> Self {
        LinuxHost {
            time: StdTime::default(),
            keeper,
            recompressor,
        }
    }
}

impl Host for LinuxHost {
    type Codecs = Builtin;
    type Lock = parking_lot::RawMutex;

    fn now_ns(&self) -> u64 {
        self.time.now_ns()
    }

    fn backoff(&self, attempt: u32) {
        StdTime::backoff(attempt);
    }

    fn pin(&self) {
        sched::pin();
    }

    fn unpin(&self) {
        sched::unpin();
    }

    fn wake_keeper(&self) {
        self.keeper.wake();
    }

    fn wake_recompressor(&self) {
        self.recompressor.wake();
    }
}

/// A memfd of `len` bytes of zeros, for this user alone. Nobody who gets hold of it can execute it
/// (before Linux 6.3 the kernel cannot promise that), or make the end of a mapping disappear.
pub(crate) fn sealed(what: &str, len: u64) -> rustix::io::Result<OwnedFd> {
    let fd = create(what)?;
    rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::ftruncate(&fd, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

fn create(what: &str) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(what, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(what, flags),
        other => other,
    }
}

/// A memfd that is mapped in full.
struct Memfd {
    fd: OwnedFd,
    mapping: Mapping,
    locked: Result<(), NotLocked>,
}

impl Memfd {
    /// `len` (not 0) fresh bytes of zeros, without memory behind them yet. What is populated
    /// later stays locked in memory, if the system allows that.
    fn new(what: &'static str, len: u64) -> Result<Self, MemoryError> {
        Memfd::map(what, len).map_err(|source| MemoryError {
            what,
            bytes: len,
            source,
        })
    }

    fn map(what: &'static str, len: u64) -> io::Result<Self> {
        let size = usize::try_from(len).map_err(|_| io::Error::from(Errno::NOMEM))?;
        Memfd::over(sealed(what, len)?, what, size)
    }

    /// Maps `size` bytes of a memfd.
    fn over(fd: OwnedFd, what: &'static str, size: usize) -> io::Result<Self> {
        let mapping = Mapping::shared(&fd, 0, size, ProtFlags::READ | ProtFlags::WRITE)?;
        mapping.refuse_huge_pages();
        let locked = mapping.lock(MlockFlags::ONFAULT);
        Ok(Memfd {
            fd,
            mapping,
            locked: locked.map_err(|errno| NotLocked { what, errno }),
        })
    }

    /// Bytes of memory that the memfd holds.
    #[cfg(test)]
    fn resident(&self) -> u64 {
        u64::try_from(rustix::fs::fstat(&self.fd).unwrap().st_blocks).unwrap() * 512
    }
}

/// Pool frames in a memfd.
pub struct MemfdFrames {
    memory: Memfd,
    capacity: u32,
}

impl MemfdFrames {
    /// `capacity` frames, at least one. None of them holds memory yet.
    ///
    /// `what` names the memory in warnings and errors.
    ///
    /// # Errors
    /// If the system refuses to reserve it.
    pub fn new(what: &'static str, capacity: u32) -> Result<Self, MemoryError> {
        let capacity = capacity.max(1);
        let len = u64::from(capacity) * FRAME_SIZE as u64;
        Ok(MemfdFrames {
            memory: Memfd::new(what, len)?,
            capacity,
        })
    }

    /// Whether what is populated stays locked in memory.
    ///
    /// # Errors
    /// [`NotLocked`] if the system has refused that.
    pub fn locked(&self) -> Result<(), NotLocked> {
        self.memory.locked
    }
}

// SAFETY: frames are disjoint parts of one mapping that lives as long as `self`; mappings
// start at a page boundary and frames are whole pages. The mapping is private to `self`, which
// does not touch its bytes.
unsafe impl FrameMemory for MemfdFrames {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn frame(&self, index: u32) -> NonNull<u8> {
        assert!(index < self.capacity, "frame {index} of {}", self.capacity);
        self.memory.mapping.at(index as usize * FRAME_SIZE)
    }

    fn populate(&self, index: u32, _may_wait: bool) -> Result<(), NoMemory> {
        assert!(index < self.capacity, "frame {index} of {}", self.capacity);
        self.memory
            .mapping
            .populate(index as usize * FRAME_SIZE, FRAME_SIZE)
            .map_err(|_| {
                // Pages before the one that was refused.
                self.release(index);
                NoMemory
            })
    }

    fn release(&self, index: u32) {
        assert!(index < self.capacity, "frame {index} of {}", self.capacity);
        let offset = u64::from(index) * FRAME_SIZE as u64;
        // Not MADV_REMOVE: that refuses locked mappings.
        let punched = rustix::fs::fallocate(
            &self.memory.fd,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            offset,
            FRAME_SIZE as u64,
        );
        if let Err(errno) = punched {
            tracing::error!(
                "the memory of pool frame {index} could not be given back: {}",
                io::Error::from(errno)
            );
        }
    }
}

/// A slot table in a memfd.
pub struct MemfdSlots {
    memory: Memfd,
    pages: usize,
    /// All of them are populated.
    resident: bool,
}

impl MemfdSlots {
    /// `pages` empty slots, at least one, all resident if `resident`.
    ///
    /// `what` names the memory in warnings and errors.
    ///
    /// # Errors
    /// If the system refuses to reserve it.
    pub fn new(what: &'static str, pages: u64, resident: bool) -> Result<Self, MemoryError> {
        let len = pages.max(1) * size_of::<AtomicU64>() as u64;
        let memory = Memfd::new(what, len)?;
        let size = memory.mapping.len();
        if resident {
            memory
                .mapping
                .populate(0, size)
                .map_err(|source| MemoryError {
                    what,
                    bytes: len,
                    source,
                })?;
        }
        // The mapping has the length of the table, so the count fits too.
        let pages = size / size_of::<AtomicU64>();
        Ok(MemfdSlots {
            memory,
            pages,
            resident,
        })
    }
}

// SAFETY: the mapping is made once, is private to `self`, lives as long, is aligned to a page
// and holds `pages` words of zeros at first, which are valid atomics. What was populated stays: the
// memfd neither shrinks nor gets holes.
unsafe impl SlotMemory for MemfdSlots {
    fn slots(&self) -> &[AtomicU64] {
        // SAFETY: see above; all access to the bytes goes through these atomics.
        unsafe {
            std::slice::from_raw_parts(self.memory.mapping.base().as_ptr().cast(), self.pages)
        }
    }

    fn populate(&self, slots: Range<usize>) -> Result<(), NoMemory> {
        if self.resident {
            return Ok(());
        }
        let word = size_of::<AtomicU64>();
        self.memory
            .mapping
            .populate(slots.start * word, slots.len() * word)
            .map_err(|_| NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn frames_hold_memory_only_from_populate_to_release() {
        let frames = MemfdFrames::new("test frames", 1 << 20).unwrap();
        assert_eq!(
            frames.memory.resident(),
            0,
            "64 GiB are reserved, none is taken"
        );
        let indices = [0, 1, 77, (1 << 20) - 1];
        for (n, index) in (1..).zip(indices) {
            frames.populate(index, true).unwrap();
            // SAFETY: the frame is populated and FRAME_SIZE bytes long.
            unsafe { frames.frame(index).write_bytes(0xa5, FRAME_SIZE) };
            assert_eq!(frames.memory.resident(), n * FRAME_SIZE as u64);
        }
        for (n, index) in indices.iter().enumerate() {
            frames.release(*index);
            assert_eq!(frames.memory.resident(), ((3 - n) * FRAME_SIZE) as u64);
        }
        frames.populate(77, false).unwrap();
        // SAFETY: the frame is populated; a byte of it may be read.
        let byte = unsafe { frames.frame(77).read() };
        assert_eq!(byte, 0, "what was released is gone");
    }

    #[test]
    fn slots_are_zero_and_shared() {
        for resident in [false, true] {
            let slots = MemfdSlots::new("test slots", 100_000, resident).unwrap();
            assert_eq!(slots.slots().len(), 100_000);
            slots.populate(0..100_000).unwrap();
            assert!(slots.slots().iter().all(|s| s.load(Ordering::Relaxed) == 0));
            slots.slots()[99_999].store(7, Ordering::Relaxed);
            assert_eq!(slots.slots()[99_999].load(Ordering::Relaxed), 7);
            assert_eq!(slots.memory.resident(), 800_000_u64.next_multiple_of(4096));
        }
    }

    #[test]
    fn slots_hold_memory_once_they_are_populated() {
        let slots = MemfdSlots::new("test slots", 100_000, false).unwrap();
        assert_eq!(slots.memory.resident(), 0);
        slots.populate(512..1024).unwrap();
        assert_eq!(slots.memory.resident(), 4096);
        // The last page of the table is not full.
        slots.populate(99_840..100_000).unwrap();
        assert_eq!(slots.memory.resident(), 2 * 4096);
    }

    /// A file that is too short for its mapping refuses as a system without memory does: what touches
    /// it dies of SIGBUS.
    #[test]
    fn what_the_system_has_no_memory_for_is_refused() {
        let too_short = |length, mapped| {
            let fd = create("too short").unwrap();
            rustix::fs::ftruncate(&fd, length).unwrap();
            Memfd::over(fd, "too short", mapped).unwrap()
        };
        let slots = MemfdSlots {
            memory: too_short(8192, 4 * 4096),
            pages: 2048,
            resident: false,
        };
        let frames = MemfdFrames {
            memory: too_short(FRAME_SIZE as u64 + 4096, 2 * FRAME_SIZE),
            capacity: 2,
        };
        assert_eq!(slots.populate(512..1024), Ok(()));
        assert_eq!(slots.populate(1024..1536), Err(NoMemory));
        assert_eq!(frames.populate(0, true), Ok(()));
        assert_eq!(frames.populate(1, true), Err(NoMemory));
        assert_eq!(
            frames.memory.resident(),
            FRAME_SIZE as u64,
            "nothing is kept of a frame that is not all there"
        );
    }

    #[test]
    fn memory_files_are_for_their_owner_only() {
        let slots = MemfdSlots::new("test slots", 1, false).unwrap();
        assert_eq!(
            rustix::fs::fstat(&slots.memory.fd).unwrap().st_mode & 0o777,
            0o600
        );
    }

    #[test]
    fn memory_files_keep_their_length_and_are_no_programs() {
        let frames = MemfdFrames::new("test frames", 2).unwrap();
        let fd = &frames.memory.fd;
        for len in [0, FRAME_SIZE as u64, 3 * FRAME_SIZE as u64] {
            assert_eq!(rustix::fs::ftruncate(fd, len), Err(Errno::PERM), "{len}");
        }
        frames.populate(1, true).unwrap();
        frames.release(1);
        assert_eq!(frames.memory.resident(), 0, "given back all the same");
        let probe = rustix::fs::memfd_create("probe", MemfdFlags::NOEXEC_SEAL);
        let seals = rustix::fs::fcntl_get_seals(fd).unwrap();
        // A kernel that knows the flag also seals the mode.
        assert_eq!(
            seals.contains(SealFlags::from_bits_retain(F_SEAL_EXEC)),
            probe.is_ok()
        );
    }

    /// linux/fcntl.h.
    const F_SEAL_EXEC: u32 = 0x20;

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let refused = MemfdSlots::new("ramzswap slot table", 1 << 60, false);
        let message = refused.err().unwrap().to_string();
        assert!(
            message.contains("no memory for ramzswap slot table"),
            "{message}"
        );
    }
}
