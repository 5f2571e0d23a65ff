//! What a device's attributes are called, the files in `/sys/block/ramzswapN/`, and how their values
//! are written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Size of the disk in bytes; writing it initialises the device.
pub const DISKSIZE: &str = "disksize";
/// `1` while the device is initialised.
pub const INITSTATE: &str = "initstate";
/// Written to take the device back.
pub const RESET: &str = "reset";
/// Most bytes of memory for pages; 0 is none.
pub const MEM_LIMIT: &str = "mem_limit";
/// The codecs, the chosen one in brackets.
pub const COMP_ALGORITHM: &str = "comp_algorithm";
/// The backing swap's path, or `none`.
pub const BACKING_DEV: &str = "backing_dev";
/// The codec for cold pages, or `off`.
pub const RECOMPRESS_ALGORITHM: &str = "recompress_algorithm";
/// After how many seconds a page is cold.
pub const RECOMPRESS_AFTER: &str = "recompress_after";
/// The share of one CPU for recompression, in per cent.
pub const RECOMPRESS_CPU: &str = "recompress_cpu";
/// Counters and gauges, a line each.
pub const STATS: &str = "stats";
/// Histograms of times.
pub const LATENCY: &str = "latency";
/// What the driver can do with this kernel and CPU.
pub const FEATURES: &str = "features";

/// What `backing_dev` says if there is none.
pub(crate) const NONE: &str = "none";

/// Who has a backing swap that the driver finds busy.
pub(crate) const IN_USE: &str = "another program (swap, a mount, another device, or a writer)";

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) attribute: &'static str,
    /// A path is any bytes.
    pub(crate) value: Vec<u8>,
}

impl Setting {
    pub(crate) fn new(attribute: &'static str, value: impl ToString) -> Setting {
        Setting {
            attribute,
            value: value.to_string().into_bytes(),
        }
    }

    /// The backing swap, or that there is none.
    pub(crate) fn backing_swap(path: Option<&Path>) -> Setting {
        let path = path.map_or(OsStr::new(NONE), Path::as_os_str);
        Setting {
            attribute: BACKING_DEV,
            value: path.as_bytes().to_owned(),
        }
    }
}

/// What is chosen in a list: the word in brackets, or all of a text without.
pub(crate) fn chosen(list: &str) -> &str {
    list.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(list.trim(), |(word, _)| word)
}

/// The words of a list, the brackets taken away.
pub(crate) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split_ascii_whitespace()
        .map(|word| word.trim_start_matches('[').trim_end_matches(']'))
}
