//! Loop devices: a file made a block device by the kernel's loop driver
//! (`include/uapi/linux/loop.h`).

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use compcache_engine::PAGE_SIZE;
use compcache_host::{proc, remedy};

use super::{DetachError, open_driver};
use crate::error::DeviceError;

const LOOP_CLR_FD: libc::Ioctl = 0x4c01;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;

const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// How often another process may be faster in taking a free loop device.
const ATTEMPTS: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo64 {
    const EMPTY: LoopInfo64 = LoopInfo64 {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304, "as the kernel has it");

impl LoopConfig {
    /// Direct I/O, sectors of a page, and gone with its last user.
    fn new(file: &File, name: &str) -> Self {
        let mut file_name = [0; 64];
        // The last byte stays zero.
        for (to, from) in file_name[..63].iter_mut().zip(name.as_bytes()) {
            *to = *from;
        }
        LoopConfig {
            fd: file.as_raw_fd().cast_unsigned(),
            block_size: PAGE_SIZE as u32,
            info: LoopInfo64 {
                flags: LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR,
                file_name,
                ..LoopInfo64::EMPTY
            },
            reserved: [0; 8],
        }
    }
}

/// An attached loop device; it detaches when it is dropped and nobody else has it open.
///
/// The device is held open as long as it is attached, and the kernel detaches it by itself
/// after its last user has gone: a crashed process leaves no loop device behind unless it is
/// swapped on, mounted or open elsewhere.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    path: PathBuf,
    device: File,
    /// The node's mode before it was taken.
    mode: u32,
}

impl LoopDevice {
    /// Attaches `file` to a free loop device, which is then for root only. `name` is what
    /// `losetup` shows if it cannot show the file.
    pub(crate) fn attach(file: &File, name: &str) -> Result<Self, DeviceError> {
        let control = open_driver("/dev/loop-control", "loop")?;
        // Has FUSE ask for the file's size: kernels before 6.16 take for the device's the one
        // that they know already, which of a file that was only opened is 0.
        file.metadata()
            .map_err(|e| DeviceError::system("read the size of the disk's file", e, None))?;
        let config = LoopConfig::new(file, name);
        for _ in 0..ATTEMPTS {
            // SAFETY: this ioctl takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
            if number < 0 {
                return Err(no_free(io::Error::last_os_error()));
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            make_node(&path, number)?;
            let failed = |action, e: io::Error| {
                let denied = e.kind() == io::ErrorKind::PermissionDenied;
                let remedy = denied.then(|| remedy::root("access to loop devices"));
                DeviceError::system(format!("{action} {}", path.display()), e, remedy.as_deref())
            };
            let device = File::options()
                .read(true)
                .write(true)
                .custom_flags(libc::O_CLOEXEC)
                .open(&path)
                .map_err(|e| failed("open", e))?;
            // SAFETY: the ioctl reads one `LoopConfig`, which lives until it returns.
            let done =
                unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
            if done == 0 {
                let mut attached = LoopDevice {
                    path,
                    device,
                    mode: 0,
                };
                attached.restrict()?;
                return Ok(attached);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // Another process was faster.
                Some(libc::EBUSY) => {}
                Some(libc::EINVAL | libc::ENOTTY) => {
                    return Err(DeviceError::system(
                        format!("configure {}", path.display()),
                        error,
                        "a kernel of version 5.8 or later is needed",
                    ));
                }
                _ => return Err(failed("configure", error)),
            }
        }
        Err(no_free(io::Error::from_raw_os_error(libc::EBUSY)))
    }

    /// Makes the node readable for its owner only.
    fn restrict(&mut self) -> Result<(), DeviceError> {
        let failed = |e| {
            DeviceError::system(
                format!("restrict {}", self.path.display()),
                e,
                &*remedy::root("CAP_FOWNER"),
            )
        };
        self.mode = self.device.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        self.device
            .set_permissions(Permissions::from_mode(0o600))
            .map_err(failed)
    }

    /// The block device.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Detaches. Users that hold the device exclusively make it refuse; other users keep the
    /// kernel's device in place until they have closed it.
    pub(crate) fn detach(&mut self) -> Result<(), DetachError> {
        let failed = |action, e| {
            let action = format!("{action} {}", self.path.display());
            DetachError::Leftover(DeviceError::system(action, e, "detach it with losetup -d"))
        };
        // Holding it exclusively keeps swapon and mount from coming in between.
        let exclusive = File::options()
            .read(true)
            .custom_flags(libc::O_EXCL | libc::O_CLOEXEC)
            .open(&self.path)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::EBUSY) => DetachError::Busy,
                _ => failed("open", e),
            })?;
        let restored = self
            .device
            .set_permissions(Permissions::from_mode(self.mode));
        clear(&exclusive).map_err(|e| failed("detach", e))?;
        restored.map_err(|e| failed("restore the mode of", e))
    }
}

/// Detaches the loop device as soon as it has no user.
pub(crate) fn clear(device: &File) -> io::Result<()> {
    // SAFETY: this ioctl takes no argument.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // It is detached already.
        e if e.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        e => Err(e),
    }
}

/// Device number, major and minor, of the file system that the loop device's file is on. Asks that file system.
///
/// # Errors
/// `ENXIO` if it has no file; those of the file system, such as `ENOTCONN`.
pub(crate) fn file_system(device: &File) -> io::Result<(u32, u32)> {
    let mut info = LoopInfo64::EMPTY;
    // SAFETY: the ioctl writes one `loop_info64`, for which there is room until it returns, and of which all bits
    // are valid.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    match done {
        0 => Ok(decode(info.device)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The kernel's `new_decode_dev`.
fn decode(device: u64) -> (u32, u32) {
    let device = device as u32;
    (
        (device & 0x000f_ff00) >> 8,
        (device & 0xff) | ((device >> 12) & 0x000f_ff00),
    )
}

fn no_free(error: io::Error) -> DeviceError {
    DeviceError::system(
        "find a free loop device",
        error,
        "detach one that is not needed (losetup -a, losetup -d), or raise the loop module's \
         max_loop",
    )
}

/// Makes the node of loop device `number` if nobody (devtmpfs, udev) has.
fn make_node(path: &Path, number: libc::c_int) -> Result<(), DeviceError> {
    if std::fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()) {
        return Ok(());
    }
    let failed = |e| DeviceError::system(format!("make the node {}", path.display()), e, None);
    let numbers = format!("/sys/block/loop{number}/dev");
    let numbers = proc::read(Path::new(&numbers)).map_err(failed)?;
    let (major, minor) = proc::device_numbers(&numbers)
        .ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))?;
    let node = CString::new(path.as_os_str().as_bytes()).map_err(|e| failed(e.into()))?;
    // SAFETY: `node` is a C string that lives until the call returns.
    let made = unsafe {
        libc::mknod(
            node.as_ptr(),
            libc::S_IFBLK | 0o600,
            libc::makedev(major, minor),
        )
    };
    match made {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            e => Err(failed(e)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_as_the_kernel_writes_them() {
        assert_eq!(decode(0x27), (0, 0x27));
        assert_eq!(decode(0xfe01), (254, 1));
        assert_eq!(
            decode(0x0012_3456 & 0x000f_ffff | 0x7890_0000),
            (0x234, 0x7_8956)
        );
    }
}
