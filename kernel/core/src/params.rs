//! The parameters of a device and their rules, those of the original ramzswap (SPECIFICATION.md,
//! "Limits" and "Defaults"; the device in userspace has the same):
//!
//! - without a backing swap, the disk's size is what was set, else 25 % of the RAM; there is no
//!   memory limit but the one that was set, and what does not fit is refused;
//! - with a backing swap, the disk has the size of the backing swap; the memory limit is what was
//!   set, else 15 % of the RAM or the backing swap's size if that is smaller; a limit over the
//!   disk's size is refused;
//! - a disk of more than twice the RAM gives a warning.

use alloc::boxed::Box;

use compcache_engine::codec::CodecSpec;
use compcache_engine::disk::{
    DEFAULT_AFTER_SECONDS, DEFAULT_CPU_PERCENT, MAX_DISKSIZE, PAGE, default_disksize,
    default_memlimit, is_large_for,
};

use crate::codecs;
use crate::error::Error;

/// What becomes of cold pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recompress {
    /// What they are compressed with; `None`: they stay as they are.
    pub(crate) codec: Option<CodecSpec>,
    /// How long a page was neither read nor written before it is cold, in seconds.
    pub(crate) after_seconds: u32,
    /// The share of one CPU that it may use, in per cent.
    pub(crate) cpu_percent: u32,
}

/// What was set on a device.
#[derive(Debug)]
pub(crate) struct Params {
    /// Size of the disk in bytes: whole pages.
    pub(crate) disksize: Option<u64>,
    /// Most bytes of memory for pages: whole pages.
    pub(crate) memlimit: Option<u64>,
    /// Path of the backing swap, with a 0 at its end.
    pub(crate) backing_swap: Option<Box<[u8]>>,
    /// The codec for new pages.
    pub(crate) codec: CodecSpec,
    /// What becomes of cold pages.
    pub(crate) recompress: Recompress,
}

/// What a device is made with, after every rule was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Size of the disk in bytes: whole pages.
    pub(crate) disksize: u64,
    /// Most bytes of memory for pages.
    pub(crate) memlimit: Option<u64>,
}

/// What a user should know of parameters that were taken anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The disk has the size of the backing swap, and not this one.
    DisksizeIgnored { set: u64, disksize: u64 },
    /// The disk is larger than twice the memory.
    MoreThanTwiceTheRam { disksize: u64, ram: u64 },
}

impl Params {
    /// Those of a new device.
    pub(crate) fn new() -> Self {
        Params {
            disksize: None,
            memlimit: None,
            backing_swap: None,
            codec: codecs::default_codec(),
            // As for devices in userspace; if the kernel has no zstd, off.
            recompress: Recompress {
                codec: crate::zstd::is_there().then_some(CodecSpec::ZSTD),
                after_seconds: DEFAULT_AFTER_SECONDS,
                cpu_percent: DEFAULT_CPU_PERCENT,
            },
        }
    }

    /// Applies the rules. `ram` is the machine's memory in bytes, `backing` the size of the
    /// backing swap in bytes, page 0 included, if there is one. Each warning is handed to
    /// `warn`.
    pub(crate) fn resolve(
        &self,
        ram: u64,
        backing: Option<u64>,
        mut warn: impl FnMut(Warning),
    ) -> Result<Resolved, Error<'static>> {
        let Some(backing) = backing else {
            let disksize = self.disksize.unwrap_or_else(|| default_disksize(ram));
            warn_if_large(disksize, ram, warn);
            return Ok(Resolved {
                disksize,
                memlimit: self.memlimit,
            });
        };
        if let Some(set) = self.disksize.filter(|set| *set != backing) {
            warn(Warning::DisksizeIgnored {
                set,
                disksize: backing,
            });
        }
        let memlimit = self
            .memlimit
            .unwrap_or_else(|| default_memlimit(ram, backing));
        if memlimit > backing {
            return Err(Error::MemlimitOverDisksize {
                memlimit,
                disksize: backing,
            });
        }
        warn_if_large(backing, ram, warn);
        Ok(Resolved {
            disksize: backing,
            memlimit: Some(memlimit),
        })
    }
}

fn warn_if_large(disksize: u64, ram: u64, mut warn: impl FnMut(Warning)) {
    if is_large_for(disksize, ram) {
        warn(Warning::MoreThanTwiceTheRam { disksize, ram });
    }
}

impl core::fmt::Display for Warning {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Warning::DisksizeIgnored { set, disksize } => write!(
                f,
                "disksize {} kB is ignored: with a backing swap the disk has its size, {} kB",
                set / 1024,
                disksize / 1024
            ),
            Warning::MoreThanTwiceTheRam { disksize, ram } => write!(
                f,
                "disksize {} kB is more than twice the RAM ({} kB): pages seldom compress to less \
                 than a third, so that swap could fill the memory before the disk is full; its \
                 slot table alone takes {} kB (0.2 % of the disk)",
                disksize / 1024,
                ram / 1024,
                disksize / PAGE * 8 / 1024
            ),
        }
    }
}

/// A size of at least `min` bytes, rounded down to pages.
pub(crate) fn size(what: &'static str, bytes: u64, min: u64) -> Result<u64, Error<'static>> {
    match bytes {
        0 => Err(Error::SizeZero { what, min }),
        bytes if bytes > MAX_DISKSIZE => Err(Error::SizeTooLarge {
            what,
            kb: bytes / 1024,
        }),
        bytes if bytes < min => Err(Error::SizeTooSmall { what, bytes, min }),
        bytes => Ok(bytes / PAGE * PAGE),
    }
}

/// A size in kB as the ioctls and module parameters give it.
pub(crate) fn size_kb(what: &'static str, kb: u64, min: u64) -> Result<u64, Error<'static>> {
    match kb.checked_mul(1024) {
        Some(bytes) => size(what, bytes, min),
        None => Err(Error::SizeTooLarge { what, kb }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_engine::disk::MIN_DISKSIZE;

    const MIB: u64 = 1 << 20;
    const RAM: u64 = 1000 * MIB;

    fn resolve(params: &Params, backing: Option<u64>) -> (Result<Resolved, Error<'static>>, usize) {
        let mut warnings = 0;
        let resolved = params.resolve(RAM, backing, |_| warnings += 1);
        (resolved, warnings)
    }

    #[test]
    fn the_default_disk_is_a_quarter_of_the_ram() {
        let (resolved, warnings) = resolve(&Params::new(), None);
        let expected = Resolved {
            disksize: 250 * MIB,
            memlimit: None,
        };
        assert_eq!((resolved, warnings), (Ok(expected), 0));
        let tiny = Params::new().resolve(0, None, |_| ()).unwrap();
        assert_eq!(tiny.disksize, MIN_DISKSIZE);
    }

    #[test]
    fn with_a_backing_swap_the_disk_has_its_size_and_a_limit() {
        let mut params = Params::new();
        let limit = |backing| resolve(&Params::new(), Some(backing)).0.unwrap().memlimit;
        assert_eq!(limit(500 * MIB), Some(150 * MIB));
        assert_eq!(limit(64 * MIB), Some(64 * MIB));
        params.disksize = Some(32 * MIB);
        let (resolved, warnings) = resolve(&params, Some(64 * MIB));
        assert_eq!((resolved.unwrap().disksize, warnings), (64 * MIB, 1));
        params.memlimit = Some(65 * MIB);
        assert!(matches!(
            resolve(&params, Some(64 * MIB)).0,
            Err(Error::MemlimitOverDisksize { .. })
        ));
        assert_eq!(resolve(&params, None).0.unwrap().memlimit, Some(65 * MIB));
    }

    #[test]
    fn a_disk_of_more_than_twice_the_ram_gives_a_warning() {
        let mut params = Params::new();
        params.disksize = Some(2 * RAM);
        assert_eq!(resolve(&params, None).1, 0);
        params.disksize = Some(2 * RAM + PAGE);
        assert_eq!(resolve(&params, None).1, 1);
    }

    #[test]
    fn sizes_are_rounded_down_and_bounded() {
        assert_eq!(
            size("disksize", MIN_DISKSIZE + 4095, MIN_DISKSIZE),
            Ok(MIN_DISKSIZE)
        );
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
            let message = std::string::ToString::to_string(&error);
            assert!(message.contains(words), "{message}");
            assert_eq!(error.errno(), crate::sys::EINVAL);
        }
    }
}
