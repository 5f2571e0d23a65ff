//! A disk's sizes and their rules, those of the original ramzswap:
//!
//! - without a backing swap, the disk's size is what was set, else 25 % of the RAM; there is no
//!   memory limit but one that was set, and pages that do not fit under it are refused: the
//!   kernel keeps them in memory;
//! - with a backing swap, the disk has the size of the backing swap; the memory limit is what
//!   was set, else 15 % of the RAM or the backing swap's size if that is smaller; a limit
//!   over the disk's size is refused;
//! - a memory limit of 0 is none, with a backing swap either;
//! - a disk of more than twice the RAM gives a warning.
//!
//! All sizes are in bytes.

use super::{MAX_DISKSIZE, PAGE, default_disksize, default_memlimit, is_large_for};

/// What was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Size of the disk: whole pages.
    pub disksize: Option<u64>,
    /// Most memory for pages: whole pages. 0: no limit, with a backing swap either.
    pub memlimit: Option<u64>,
}

/// What a disk is made with, after every rule was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Size of the disk: whole pages.
    pub disksize: u64,
    /// Most memory for pages.
    pub memlimit: Option<u64>,
}

/// Why a size is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A size of zero.
    #[error("{what} 0 is refused: give a size of at least {} kB", .min / 1024)]
    Zero {
        /// Which one.
        what: &'static str,
        /// The smallest.
        min: u64,
    },
    /// A size under the smallest one.
    #[error("{what} of {bytes} bytes is too small: give at least {} kB", .min / 1024)]
    TooSmall {
        /// Which one.
        what: &'static str,
        /// What was given.
        bytes: u64,
        /// The smallest.
        min: u64,
    },
    /// A size past the largest one.
    #[error("{what} of {kb} kB is too large: the limit is {} kB (16 TiB)", MAX_DISKSIZE / 1024)]
    TooLarge {
        /// Which one.
        what: &'static str,
        /// What was given, in kB.
        kb: u64,
    },
    /// A memory limit over the disk's size.
    #[error(
        "memlimit of {} kB is larger than the disk ({} kB): give at most the disk's size",
        .memlimit / 1024, .disksize / 1024
    )]
    MemlimitOverDisksize {
        /// The limit.
        memlimit: u64,
        /// The disk's size.
        disksize: u64,
    },
}

/// What a user should know of sizes that were taken anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeWarning {
    /// A size was set beside a backing swap, which has its own.
    #[error(
        "disksize {} kB is ignored: with a backing swap the disk has its size, {} kB",
        .set / 1024, .disksize / 1024
    )]
    DisksizeIgnored {
        /// The size that was set.
        set: u64,
        /// The size of the backing swap.
        disksize: u64,
    },
    /// A disk that could fill the memory before it is full.
    #[error(
        "disksize {} kB is more than twice the RAM ({} kB): pages seldom compress to less than a \
         third, so that swap could fill the memory before the disk is full; its slot table alone \
         takes {} kB (0.2 % of the disk)",
        .disksize / 1024, .ram / 1024, .disksize / PAGE * 8 / 1024
    )]
    MoreThanTwiceTheRam {
        /// The size of the disk.
        disksize: u64,
        /// The machine's memory.
        ram: u64,
    },
}

impl Sizes {
    /// Applies the rules. `ram` is the machine's memory, `backing` the size of the backing swap, page 0 included, if
    /// there is one. Each warning is handed to `warn`.
    ///
    /// # Errors
    /// [`SizeError::MemlimitOverDisksize`].
    pub fn resolve(
        self,
        ram: u64,
        backing: Option<u64>,
        mut warn: impl FnMut(SizeWarning),
    ) -> Result<Resolved, SizeError> {
        let resolved = match backing {
            Some(backing) => self.beside(backing, ram, &mut warn)?,
            None => Resolved {
                disksize: self.disksize.unwrap_or_else(|| default_disksize(ram)),
                memlimit: self.memlimit.filter(|bytes| *bytes > 0),
            },
        };
        let disksize = resolved.disksize;
        if is_large_for(disksize, ram) {
            warn(SizeWarning::MoreThanTwiceTheRam { disksize, ram });
        }
        Ok(resolved)
    }

    fn beside(
        self,
        backing: u64,
        ram: u64,
        warn: &mut impl FnMut(SizeWarning),
    ) -> Result<Resolved, SizeError> {
        if let Some(set) = self.disksize.filter(|set| *set != backing) {
            let disksize = backing;
            warn(SizeWarning::DisksizeIgnored { set, disksize });
        }
        let memlimit = match self.memlimit {
            Some(0) => None,
            set => Some(set.unwrap_or_else(|| default_memlimit(ram, backing))),
        };
        memlimit.map_or(Ok(()), |limit| limit_fits(limit, backing))?;
        Ok(Resolved {
            disksize: backing,
            memlimit,
        })
    }
}

/// Whether a memory limit can be that of a disk with a backing swap.
///
/// # Errors
/// [`SizeError::MemlimitOverDisksize`].
pub fn limit_fits(memlimit: u64, disksize: u64) -> Result<(), SizeError> {
    if memlimit > disksize {
        return Err(SizeError::MemlimitOverDisksize { memlimit, disksize });
    }
    Ok(())
}

/// A size of at least `min` bytes, rounded down to pages.
///
/// # Errors
/// [`SizeError`] if it is none.
pub fn size(what: &'static str, bytes: u64, min: u64) -> Result<u64, SizeError> {
    match bytes {
        0 => Err(SizeError::Zero { what, min }),
        bytes if bytes > MAX_DISKSIZE => Err(SizeError::TooLarge {
            what,
            kb: bytes.div_ceil(1024),
        }),
        bytes if bytes < min => Err(SizeError::TooSmall { what, bytes, min }),
        bytes => Ok(bytes / PAGE * PAGE),
    }
}

/// [`size`] of so many kB, as the ioctls and parameters of the original give it.
///
/// # Errors
/// As [`size`].
pub fn size_kb(what: &'static str, kb: u64, min: u64) -> Result<u64, SizeError> {
    match kb.checked_mul(1024) {
        Some(bytes) => size(what, bytes, min),
        None => Err(SizeError::TooLarge { what, kb }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MIN_DISKSIZE;

    use alloc::string::ToString as _;

    const MIB: u64 = 1 << 20;
    const RAM: u64 = 1000 * MIB;

    fn set(disksize: Option<u64>, memlimit: Option<u64>) -> Sizes {
        Sizes { disksize, memlimit }
    }

    fn resolve(sizes: Sizes, backing: Option<u64>) -> (Result<Resolved, SizeError>, usize) {
        let mut warnings = 0;
        let resolved = sizes.resolve(RAM, backing, |_| warnings += 1);
        (resolved, warnings)
    }

    #[test]
    fn the_default_disk_is_a_quarter_of_the_ram() {
        let expected = Resolved {
            disksize: 250 * MIB,
            memlimit: None,
        };
        assert_eq!(resolve(Sizes::default(), None), (Ok(expected), 0));
        let tiny = Sizes::default().resolve(0, None, |_| ()).unwrap();
        assert_eq!(tiny.disksize, MIN_DISKSIZE);
    }

    #[test]
    fn with_a_backing_swap_the_disk_has_its_size_and_a_limit() {
        let limit = |memlimit, backing| {
            let resolved = resolve(set(None, memlimit), Some(backing)).0;
            resolved.map(|resolved| resolved.memlimit)
        };
        assert_eq!(limit(None, 500 * MIB), Ok(Some(150 * MIB)));
        assert_eq!(limit(None, 64 * MIB), Ok(Some(64 * MIB)));
        assert_eq!(limit(Some(0), 64 * MIB), Ok(None));
        let over = SizeError::MemlimitOverDisksize {
            memlimit: 65 * MIB,
            disksize: 64 * MIB,
        };
        assert_eq!(limit(Some(65 * MIB), 64 * MIB), Err(over));
        let (resolved, warnings) = resolve(set(Some(32 * MIB), None), Some(64 * MIB));
        assert_eq!((resolved.unwrap().disksize, warnings), (64 * MIB, 1));
        let alone = |memlimit| resolve(set(None, memlimit), None).0.unwrap().memlimit;
        assert_eq!(alone(Some(65 * MIB)), Some(65 * MIB));
        assert_eq!(alone(Some(0)), None);
    }

    #[test]
    fn a_disk_of_more_than_twice_the_ram_gives_a_warning() {
        assert_eq!(resolve(set(Some(2 * RAM), None), None).1, 0);
        assert_eq!(resolve(set(Some(2 * RAM + PAGE), None), None).1, 1);
    }

    #[test]
    fn sizes_are_rounded_down_and_bounded() {
        let rounded = size("disksize", MIN_DISKSIZE + 4095, MIN_DISKSIZE);
        assert_eq!(rounded, Ok(MIN_DISKSIZE));
        assert_eq!(size_kb("disksize", 20_480, MIN_DISKSIZE), Ok(20 * MIB));
        for (kb, words) in [
            (0, "disksize 0 is refused: give a size of at least 40 kB"),
            (
                39,
                "disksize of 39936 bytes is too small: give at least 40 kB",
            ),
            (
                (1 << 34) + 1,
                "disksize of 17179869185 kB is too large: the limit is 17179869184 kB",
            ),
            (u64::MAX, "disksize of 18446744073709551615 kB is too large"),
        ] {
            let error = size_kb("disksize", kb, MIN_DISKSIZE).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let next = size("disksize", MAX_DISKSIZE + 1, MIN_DISKSIZE).unwrap_err();
        assert!(next.to_string().contains("17179869185 kB"), "{next}");
    }
}
