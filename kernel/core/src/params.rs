//! The parameters of a device. Their rules are the engine's ([`sizes`](compcache_engine::disk::sizes)).

use alloc::boxed::Box;

use compcache_engine::codec::CodecSpec;
use compcache_engine::disk::sizes::Sizes;
use compcache_engine::disk::{DEFAULT_AFTER_SECONDS, DEFAULT_CPU_PERCENT};

use crate::codecs;

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

    /// The sizes that were set.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            disksize: self.disksize,
            memlimit: self.memlimit,
        }
    }
}
