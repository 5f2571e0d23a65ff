//! Counts that outlive who keeps them: in memory that processes share.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::fs::SealFlags;
use rustix::mm::ProtFlags;

use crate::mapping::Mapping;
use crate::memory;

/// Counts in a memfd. Whoever else has it mapped sees them as they are, and as a process that has died has
/// left them.
pub struct SharedCounts {
    fd: OwnedFd,
    mapping: Mapping,
    len: usize,
}

impl fmt::Debug for SharedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCounts")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl SharedCounts {
    /// So many counts, all 0.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and mmap(2); `EINVAL` if `len` is 0.
    pub fn new(len: usize) -> io::Result<SharedCounts> {
        let fd = memory::sealed("counts", bytes(len) as u64)?;
        SharedCounts::map(fd, len)
    }

    /// Those that another process has made.
    ///
    /// # Errors
    /// Those of fstat(2) and mmap(2); `EINVAL` if it is not what [`SharedCounts::new`] makes.
    pub fn of(fd: OwnedFd) -> io::Result<SharedCounts> {
        let sealed = rustix::fs::fcntl_get_seals(&fd)?.contains(SealFlags::SHRINK);
        let size = usize::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0);
        if !sealed || !size.is_multiple_of(size_of::<u64>()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        SharedCounts::map(fd, size / size_of::<u64>())
    }

    fn map(fd: OwnedFd, len: usize) -> io::Result<SharedCounts> {
        let mapping = Mapping::shared(&fd, 0, bytes(len), ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(SharedCounts { fd, mapping, len })
    }

    /// How many they are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// One of them; `None` if there are fewer.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.len {
            return None;
        }
        let at = self.mapping.at(bytes(index)).cast::<AtomicU64>();
        // SAFETY: the mapping begins at a page boundary, so that this is aligned; it holds `len` words,
        // any bits of which are a count, and lives as long as `self`. All who have it mapped use atomic
        // operations only.
        Some(unsafe { at.as_ref() })
    }
}

impl AsFd for SharedCounts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Bytes of so many counts.
const fn bytes(counts: usize) -> usize {
    counts * size_of::<u64>()
}

/// A count, for this process alone or among shared ones.
#[derive(Clone, Debug)]
pub struct Count(Place);

#[derive(Clone, Debug)]
enum Place {
    Private(Arc<AtomicU64>),
    Shared(Arc<SharedCounts>, usize),
}

impl Count {
    /// One of the shared counts; `None` if there are fewer.
    #[must_use]
    pub fn shared(counts: Arc<SharedCounts>, index: usize) -> Option<Count> {
        counts.get(index)?;
        Some(Count(Place::Shared(counts, index)))
    }
}

impl Default for Count {
    fn default() -> Self {
        Count(Place::Private(Arc::default()))
    }
}

impl Deref for Count {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        match &self.0 {
            Place::Private(count) => count,
            Place::Shared(counts, index) => counts.get(*index).expect("looked at when it was made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use rustix::fs::MemfdFlags;

    use super::*;

    #[test]
    fn whoever_maps_them_sees_the_same_counts() {
        let ours = Arc::new(SharedCounts::new(3).unwrap());
        let theirs = SharedCounts::of(ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(theirs.len(), 3);
        let count = Count::shared(Arc::new(theirs), 2).unwrap();
        count.fetch_add(7, Relaxed);
        drop(count);
        let of = |index| ours.get(index).map(|count| count.load(Relaxed));
        assert_eq!([of(0), of(2), of(3)], [Some(0), Some(7), None]);
        assert!(Count::shared(ours, 3).is_none());
    }

    #[test]
    fn what_could_be_cut_short_is_refused() {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, 64).unwrap();
        let error = SharedCounts::of(fd).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(SharedCounts::new(0).is_err());
    }
}
