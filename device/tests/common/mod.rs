//! What the tests of this crate share.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test program uses a part of it"
)]

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compcache_device::settings::Channel;
use compcache_device::{Device, Env, ParamsUpdate, SwapDevice as _};
use compcache_host::proc;
use compcache_random::Random;
pub(crate) use compcache_test_support::wait_until;
use compcache_test_support::{filled_file, needs};
use tempfile::TempDir;

pub(crate) const PAGE: usize = 4096;

/// A directory on a file system with direct I/O: that of the build.
pub(crate) fn tempdir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Makes each function a test over each channel: `classic::NAME` and `uring::NAME`.
macro_rules! test_over_each_channel {
    ($($name:ident),* $(,)?) => {
        mod classic {
            $(#[test]
            fn $name() {
                if $crate::common::can_attach() {
                    super::$name(compcache_device::settings::Channel::Fuse);
                }
            })*
        }
        mod uring {
            $(#[test]
            fn $name() {
                if $crate::common::can_attach_uring() {
                    super::$name(compcache_device::settings::Channel::FuseUring);
                }
            })*
        }
    };
}
pub(crate) use test_over_each_channel;

/// Whether devices can be attached here. If not, says so.
pub(crate) fn can_attach() -> bool {
    needs::root() && needs::file("/dev/fuse") && needs::file("/dev/loop-control")
}

/// The same over io_uring.
pub(crate) fn can_attach_uring() -> bool {
    needs::kernel(Channel::FuseUring.is_supported(), "FUSE over io_uring") && can_attach()
}

/// A device with directories of its own.
pub(crate) struct Fixture {
    pub(crate) device: Arc<Device>,
    pub(crate) env: Arc<Env>,
    pub(crate) dir: TempDir,
}

pub(crate) fn fixture(channel: Channel) -> Fixture {
    let dir = tempdir();
    std::fs::create_dir(dir.path().join("dev")).unwrap();
    let env =
        Arc::new(Env::new(dir.path().join("run"), dir.path().join("dev")).served_by(None, channel));
    Fixture {
        device: Arc::new(Device::new(0, Arc::clone(&env))),
        env,
        dir,
    }
}

impl Fixture {
    /// Initialises the device with a disk of so many bytes.
    pub(crate) fn init(&self, disksize: usize) {
        let update = ParamsUpdate {
            disksize: Some(disksize as u64),
            ..Default::default()
        };
        self.device.configure(&update).unwrap();
        self.device.init().unwrap();
    }

    /// The file that is mounted.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.dir.path().join("run/ramzswap0")
    }

    pub(crate) fn block_device(&self) -> PathBuf {
        self.device.status().block_device.unwrap()
    }

    /// Fails if anything is left of the device.
    pub(crate) fn assert_clean(&self) {
        assert!(
            std::fs::symlink_metadata(self.device.node()).is_err(),
            "the link is gone"
        );
        assert!(
            std::fs::symlink_metadata(self.mount_point()).is_err(),
            "the mount point is gone"
        );
        assert_no_trace(self.dir.path());
    }
}

/// Fails if something is mounted, looped or swapped on from under `dir`.
pub(crate) fn assert_no_trace(dir: &Path) {
    let mut tables = vec!["/proc/self/mountinfo".into(), "/proc/swaps".into()];
    for entry in std::fs::read_dir("/sys/block").unwrap() {
        tables.push(entry.unwrap().path().join("loop/backing_file"));
    }
    let dir = dir.to_str().unwrap();
    for table in tables {
        let text = proc::read_or_empty(&table);
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(dir), "{}:\n{text}", table.display());
    }
}

/// Opens for direct I/O.
pub(crate) fn open_direct(path: &Path) -> File {
    File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .unwrap()
}

/// Memory that direct I/O can use.
#[repr(C, align(4096))]
#[derive(Clone)]
pub(crate) struct Aligned(pub(crate) [u8; 64 * PAGE]);

pub(crate) fn buffer() -> Box<Aligned> {
    Box::new(Aligned([0; 64 * PAGE]))
}

/// Frees a range of a block device.
pub(crate) fn discard(device: &File, offset: u64, len: u64) -> std::io::Result<()> {
    const BLKDISCARD: libc::Ioctl = 0x1277;
    let range = [offset, len];
    // SAFETY: the ioctl reads two u64 at the address given, which live until it returns.
    let done = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(device),
            BLKDISCARD,
            range.as_ptr(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// A page by its kind: zeros, one word, text, noise.
pub(crate) fn any_page(random: &mut Random) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    let seed = random.next_u64();
    match seed % 4 {
        0 => {}
        1 => page.as_chunks_mut().0.fill(seed.to_ne_bytes()),
        2 => {
            for (i, b) in page.iter_mut().enumerate() {
                *b = b"the quick brown fox "[(i * (1 + seed as usize % 7)) % 20];
            }
            page[..8].copy_from_slice(&seed.to_ne_bytes());
        }
        _ => random.fill(&mut page),
    }
    page
}

/// A page that does not compress.
pub(crate) fn noise_page(random: &mut Random) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    random.fill(&mut page);
    page
}

/// Makes a swap file of so many pages.
pub(crate) fn make_swap_file(path: &Path, pages: u32) {
    use compcache_engine::swap_header::SwapHeader;
    filled_file(path, u64::from(pages) * PAGE as u64);
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&SwapHeader::new(pages - 1, [1; 16], "backing").to_page(), 0)
        .unwrap();
    file.sync_all().unwrap();
}
