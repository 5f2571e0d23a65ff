//! The ioctls of compcache 0.6.2, as its control program makes them: type `z`, numbers 0 to 5.
//!
//! `rzscontrol` sets up the driver's devices by these; they are the driver's oldest interface
//! and need nothing but the device's node.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use compcache_host::remedy;

use super::KernelDevice;
use crate::error::DeviceError;
use crate::params::{Params, ParamsUpdate};
use crate::swap_device::SwapDevice;
use crate::warning::Warning;

/// Most bytes of a backing swap's path, its closing zero included.
pub const MAX_SWAP_NAME_LEN: usize = 128;

/// `_IOW('z', 0, size_t)`: the disk's size in kB.
const SET_DISKSIZE_KB: u32 = number(WRITE, 0, size_of::<usize>());
/// `_IOW('z', 1, size_t)`: the memory limit in kB.
const SET_MEMLIMIT_KB: u32 = number(WRITE, 1, size_of::<usize>());
/// `_IOW('z', 2, unsigned char[128])`: the backing swap's path.
const SET_BACKING_SWAP: u32 = number(WRITE, 2, MAX_SWAP_NAME_LEN);
/// `_IOR('z', 3, struct ramzswap_ioctl_stats)`: statistics, `notify_free` among them.
const GET_STATS: u32 = number(READ, 3, size_of::<Stats>());
/// `_IO('z', 4)`: initialise.
const INIT: u32 = number(0, 4, 0);
/// `_IO('z', 5)`: take back.
const RESET: u32 = number(0, 5, 0);

const WRITE: u32 = 1;
const READ: u32 = 2;

/// The number of an ioctl, as the kernel's `_IOC` makes it.
const fn number(direction: u32, nr: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (b'z' as u32) << 8 | nr
}

/// `struct ramzswap_ioctl_stats` of 0.6.2, built with statistics of freed slots.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct Stats {
    /// Path of the backing swap, padded with zeros; all zeros without one.
    pub backing_swap_name: [u8; MAX_SWAP_NAME_LEN],
    /// Most bytes of memory for pages.
    pub memlimit: u64,
    /// The disk's size in bytes.
    pub disksize: u64,
    /// Pages read.
    pub num_reads: u64,
    /// Pages written.
    pub num_writes: u64,
    /// Pages whose read failed.
    pub failed_reads: u64,
    /// Pages whose write failed.
    pub failed_writes: u64,
    /// Requests refused because they were not whole pages of the disk.
    pub invalid_io: u64,
    /// Pages whose slot the kernel freed.
    pub notify_free: u64,
    /// Pages of zeros.
    pub pages_zero: u32,
    /// Share of the stored pages compressed to half a page or less, in per cent.
    pub good_compress_pct: u32,
    /// Share of the stored pages kept as they are, in per cent.
    pub pages_expand_pct: u32,
    /// Pages kept in memory.
    pub pages_stored: u32,
    /// Memory that they take, in pages.
    pub pages_used: u32,
    /// Bytes of the stored pages before compression.
    pub orig_data_size: u64,
    /// Bytes of them after compression.
    pub compr_data_size: u64,
    /// Bytes of memory that they take.
    pub mem_used_total: u64,
    /// Pages read from the backing swap.
    pub bdev_num_reads: u64,
    /// Pages written to the backing swap.
    pub bdev_num_writes: u64,
}

const _: () = assert!(size_of::<Stats>() == 252);

impl Stats {
    /// The backing swap, if there is one.
    #[must_use]
    pub fn backing_swap(&self) -> Option<PathBuf> {
        let name = self.backing_swap_name;
        let length = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let name = std::ffi::OsStr::from_bytes(&name[..length]);
        (length > 0).then(|| PathBuf::from(name))
    }
}

/// A device that is controlled by ioctls.
#[derive(Debug)]
pub struct Control<'a> {
    device: &'a KernelDevice,
    file: File,
}

impl<'a> Control<'a> {
    /// Opens the device's node as the original did: without waiting.
    ///
    /// # Errors
    /// [`DeviceError::System`] if this user may not, or the node is not there.
    pub fn open(device: &'a KernelDevice) -> Result<Self, DeviceError> {
        let node = device.node();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(&node)
            .map_err(|e| {
                DeviceError::system(
                    format!("open {}", node.display()),
                    e,
                    "run this as root; the node must be the driver's own",
                )
            })?;
        Ok(Control { device, file })
    }

    /// Sets parameters (backing swap, memory limit, disk size, in the original's order), then
    /// initialises the device if `init`. Returns warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`] if a value or a rule refuses them, or the driver. The device is then
    /// as it was.
    pub fn configure(
        &self,
        update: &ParamsUpdate,
        init: bool,
    ) -> Result<Vec<Warning>, DeviceError> {
        let before = self.device.set_so_far();
        if self.device.is_ready() {
            let action = if update.is_empty() {
                "initialise it anew"
            } else {
                "change its parameters"
            };
            return Err(self.device.already(action));
        }
        let params = Params::default().with(&update.clone().or(before.clone()))?;
        let warnings = self.device.resolve(&params)?.1;
        let done = self.set(update).and_then(|()| match init {
            true => self.init(),
            false => Ok(()),
        });
        if let Err(error) = done {
            // Initialised by somebody else meanwhile: then it is theirs.
            if matches!(error, DeviceError::AlreadyInitialised { .. }) {
                return Err(error);
            }
            let undone = self.reset().and_then(|()| self.set(&before));
            if let Err(error) = undone {
                tracing::error!("could not undo a failed change: {error}");
            }
            return Err(error);
        }
        Ok(warnings)
    }

    /// Initialises it, and gives it the swap header with which the original came.
    fn init(&self) -> Result<(), DeviceError> {
        self.call(INIT, std::ptr::null_mut(), "initialise")?;
        self.device.ensure_swap_header()
    }

    fn set(&self, update: &ParamsUpdate) -> Result<(), DeviceError> {
        if let Some(path) = &update.backing_swap {
            let mut name = c_name(path)?;
            let name = std::ptr::from_mut(&mut name).cast();
            self.call(SET_BACKING_SWAP, name, "set the backing swap of")?;
        }
        for (request, bytes, action) in [
            (SET_MEMLIMIT_KB, update.memlimit, "set the memory limit of"),
            (SET_DISKSIZE_KB, update.disksize, "set the size of"),
        ] {
            let Some(bytes) = bytes else { continue };
            // Not over 2^34: the rules have been asked.
            let mut kb = usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
            self.call(request, std::ptr::from_mut(&mut kb).cast(), action)?;
        }
        Ok(())
    }

    /// Takes the device back to its state before it was initialised.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] while it is swapped on or held.
    pub fn reset(&self) -> Result<(), DeviceError> {
        self.call(RESET, std::ptr::null_mut(), "reset")
    }

    /// The device's statistics; `None` if it is not initialised.
    ///
    /// # Errors
    /// [`DeviceError::System`] if the driver does not know the call.
    pub fn stats(&self) -> Result<Option<Stats>, DeviceError> {
        // SAFETY: integers and arrays of them: all zeros is a value of this type.
        let mut stats: Stats = unsafe { std::mem::zeroed() };
        if !self.device.is_ready() {
            return Ok(None);
        }
        let into = std::ptr::from_mut(&mut stats).cast();
        self.call(GET_STATS, into, "read the statistics of")?;
        Ok(Some(stats))
    }

    fn call(
        &self,
        request: u32,
        argument: *mut c_void,
        action: &'static str,
    ) -> Result<(), DeviceError> {
        // SAFETY: each caller passes null, or a pointer to a value that lives through the call and
        // has the size that `request` names; the kernel reads or writes no more than that.
        let done = unsafe { libc::ioctl(self.file.as_raw_fd(), request as libc::Ioctl, argument) };
        if done == 0 {
            return Ok(());
        }
        Err(refused(
            self.device,
            request,
            action,
            io::Error::last_os_error(),
        ))
    }
}

/// What a call that the driver refused comes to.
fn refused(
    device: &KernelDevice,
    request: u32,
    action: &'static str,
    source: io::Error,
) -> DeviceError {
    match (source.raw_os_error(), request) {
        (Some(libc::EBUSY), RESET) => {
            device.busy("it is swapped on, mounted or open in a program; swapoff first")
        }
        (Some(libc::EBUSY), INIT) => device.taken("initialise it anew"),
        (Some(libc::EBUSY), _) => device.already("change its parameters"),
        (Some(libc::EPERM | libc::EACCES), request) => {
            // That one opens the backing swap: it may be the file's error.
            let remedy = match request {
                INIT => format!("{}; or {}", remedy::root("CAP_SYS_ADMIN"), device.log()),
                _ => remedy::root("CAP_SYS_ADMIN"),
            };
            let action = format!("{action} ramzswap{}", device.number());
            DeviceError::system(action, source, &*remedy)
        }
        _ => DeviceError::system(
            format!("{action} ramzswap{}", device.number()),
            source,
            &*device.log(),
        ),
    }
}

/// Refuses a path that is longer than the driver takes.
pub(super) fn check_length(path: &Path) -> Result<(), DeviceError> {
    let length = path.as_os_str().len();
    if length < MAX_SWAP_NAME_LEN {
        return Ok(());
    }
    Err(DeviceError::BackingUnfit {
        path: path.to_owned(),
        reason: format!(
            "its path has {length} bytes, the kernel driver takes at most {}: give a shorter one \
             (a link)",
            MAX_SWAP_NAME_LEN - 1
        ),
    })
}

/// A path as the driver takes it.
fn c_name(path: &Path) -> Result<[u8; MAX_SWAP_NAME_LEN], DeviceError> {
    check_length(path)?;
    let bytes = path.as_os_str().as_bytes();
    let mut name = [0; MAX_SWAP_NAME_LEN];
    name[..bytes.len()].copy_from_slice(bytes);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that a program of 2010 was compiled with, on 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_numbers_are_the_originals() {
        let numbers = [
            SET_DISKSIZE_KB,
            SET_MEMLIMIT_KB,
            SET_BACKING_SWAP,
            GET_STATS,
            INIT,
            RESET,
        ];
        let expected = [
            0x4008_7a00,
            0x4008_7a01,
            0x4080_7a02,
            0x80fc_7a03,
            0x7a04,
            0x7a05,
        ];
        assert_eq!(numbers, expected);
    }

    /// The driver opens the backing swap when it initialises: only `initstate` says whether it is
    /// that or the device that is busy.
    #[test]
    fn what_is_busy_is_told_apart() {
        let (_dir, root) = super::super::tests::tree(1);
        let device = KernelDevice::new(0, root.clone());
        let attribute = |name: &str| root.sys.join("block/ramzswap0").join(name);
        let refused = |request, code| {
            let error = refused(&device, request, "do", io::Error::from_raw_os_error(code));
            error.to_string()
        };
        std::fs::write(attribute("backing_dev"), "/swap\n").unwrap();
        let message = refused(INIT, libc::EBUSY);
        assert!(
            message.starts_with("backing swap /swap is in use by"),
            "{message}"
        );
        std::fs::write(attribute("initstate"), "1\n").unwrap();
        for (request, code, words) in [
            (INIT, libc::EBUSY, "already initialised: reset it first to"),
            (SET_DISKSIZE_KB, libc::EBUSY, "already initialised"),
            (RESET, libc::EBUSY, "ramzswap0 is busy: it is swapped on"),
            (SET_DISKSIZE_KB, libc::EPERM, &remedy::root("CAP_SYS_ADMIN")),
            (INIT, libc::EPERM, "dmesg | grep ramzswap0"),
            (INIT, libc::ENOENT, "dmesg | grep ramzswap0"),
        ] {
            let message = refused(request, code);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_the_limit() {
        let long = PathBuf::from("/".repeat(128));
        let message = c_name(&long).unwrap_err().to_string();
        assert!(
            message.contains("128 bytes") && message.contains("at most 127"),
            "{message}"
        );
        let name = c_name(Path::new("/dev/sda2")).unwrap();
        assert_eq!(&name[..10], b"/dev/sda2\0");
    }
}
