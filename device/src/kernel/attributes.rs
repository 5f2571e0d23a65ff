//! A device's attributes: the files in `/sys/block/ramzswapN/`.

use std::io;

use super::{KernelDevice, Root};
use crate::error::DeviceError;

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

/// What `backing_dev` says where there is none.
pub(super) const NONE: &str = "none";

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) attribute: &'static str,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn new(attribute: &'static str, value: impl ToString) -> Setting {
        Setting {
            attribute,
            value: value.to_string(),
        }
    }
}

impl KernelDevice {
    /// Reads an attribute, without the line's end.
    ///
    /// # Errors
    /// Those of reading the file: `ENOENT` where the driver has no such device.
    pub fn read(&self, attribute: &str) -> io::Result<String> {
        let text = self.read_bytes(attribute)?;
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    /// Reads an attribute as it is.
    pub(super) fn read_bytes(&self, attribute: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.root().block(self.number()).join(attribute))
    }

    /// Reads a number; 0 where there is none.
    pub(super) fn read_number(&self, attribute: &str) -> u64 {
        let text = self.read(attribute).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Writes an attribute.
    pub(super) fn write(&self, setting: &Setting) -> Result<(), DeviceError> {
        let Setting { attribute, value } = setting;
        write(self.root(), self.number(), attribute, value)
            .map_err(|source| self.refused(attribute, value, source))
    }

    /// Writes all of these, or none: where one is refused, those before it are set back.
    pub(super) fn write_all(&self, settings: &[Setting]) -> Result<(), DeviceError> {
        let mut before = Vec::new();
        for setting in settings {
            let old = self
                .read(setting.attribute)
                .map(|text| chosen(&text).to_owned());
            if let Err(error) = self.write(setting) {
                for old in before.iter().rev() {
                    if let Err(error) = self.write(old) {
                        tracing::error!("could not undo a failed change: {error}");
                    }
                }
                return Err(error);
            }
            before.extend(old.ok().map(|value| Setting::new(setting.attribute, value)));
        }
        Ok(())
    }

    fn refused(&self, attribute: &str, value: &str, source: io::Error) -> DeviceError {
        let number = self.number();
        match source.raw_os_error() {
            Some(libc::EBUSY) if attribute == RESET => self
                .busy("it is swapped on, mounted or open in a program; swapoff first, or free it"),
            Some(libc::EBUSY) => DeviceError::AlreadyInitialised {
                number,
                action: "change its parameters",
            },
            _ => {
                let remedy = match source.raw_os_error() {
                    Some(libc::EACCES | libc::EPERM) => "only root may do this".to_owned(),
                    Some(libc::ENOENT | libc::ENODEV) => {
                        "the driver has no such device or attribute: is another version of \
                         ramzswap.ko loaded?"
                            .to_owned()
                    }
                    Some(libc::ENOMEM) => "give a smaller size, or free memory".to_owned(),
                    _ => format!(
                        "the driver says why in the kernel's log: dmesg | grep ramzswap{number}"
                    ),
                };
                DeviceError::system(
                    format!("set {attribute} of ramzswap{number} to \"{value}\""),
                    source,
                    &remedy,
                )
            }
        }
    }
}

/// Writes in one call, as sysfs wants it.
fn write(root: &Root, number: u32, attribute: &str, value: &str) -> io::Result<()> {
    use std::io::Write as _;

    let path = root.block(number).join(attribute);
    // Not created, where it is not there.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?;
    let line = format!("{value}\n");
    match file.write(line.as_bytes())? {
        n if n == line.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// What is chosen in a list: the word in brackets, or all of a text without.
pub(super) fn chosen(list: &str) -> &str {
    list.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(list.trim(), |(word, _)| word)
}

/// The words of a list, the brackets taken away.
pub(super) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split_ascii_whitespace()
        .map(|word| word.trim_start_matches('[').trim_end_matches(']'))
}
