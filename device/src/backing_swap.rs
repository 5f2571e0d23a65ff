//! The backing swap: a swap file or partition that takes pages which do not compress or do
//! not fit. Page `i` of the device has page `i` of the backing swap to itself; page 0, the
//! header, is left alone.
//!
//! All its data moves by direct I/O, past the page cache: no memory is needed to free memory.

mod buffers;
mod cipher;
pub(crate) mod encrypted;
mod extents;
mod place;
mod seals;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use compcache_engine::backing::Transfer;
use compcache_engine::disk::PAGE;
use compcache_engine::swap_header::{HeaderError, SwapHeader};
use compcache_engine::{Backing, BackingError, PAGE_SIZE, Page, Unread};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom};

use self::extents::{check_extents, check_file_system};
use self::place::{Found, stays_open_elsewhere};
use crate::error::DeviceError;
use crate::kernel::Root;
use crate::params::{Params, Resolved};
use crate::settings::BackingEncryption;
use crate::swap;
use crate::warning::Warning;

/// What this process uses as backing swaps. The kernel's locks keep other processes out; this
/// tells the user apart. Innermost; there is a [`Claim`] for each.
static CLAIMED: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

/// A file or block device, however it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    File { dev: u64, ino: u64 },
    Block { rdev: u64 },
}

/// A claim that ends when it is dropped.
#[derive(Debug)]
struct Claim(Identity);

impl Claim {
    fn new(identity: Identity) -> Option<Self> {
        let new = CLAIMED.lock().insert(identity);
        // Lazily: a claim that is made and dropped would end the one that there is.
        new.then(|| Claim(identity))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().remove(&self.0);
    }
}

/// A page at a page's place in memory, for callers whose pages lie elsewhere.
#[repr(C, align(4096))]
struct Aligned(Page);

/// The start of a swap area, where direct I/O can read it.
#[repr(C, align(4096))]
struct Start([Page; 16]);

/// An open backing swap that nobody else uses while it lives.
#[derive(Debug)]
pub struct BackingSwap {
    // Closed (and so unlocked) before the claim ends.
    file: File,
    pages: u64,
    is_file: bool,
    warning: Option<Warning>,
    _claim: Claim,
}

/// Applies all rules to parameters, on a machine with so much RAM in bytes and with this backing swap,
/// and gathers what a user should know of both.
///
/// # Errors
/// Those of [`Params::resolve`].
pub(crate) fn resolve(
    params: &Params,
    ram_bytes: u64,
    backing: Option<&BackingSwap>,
) -> Result<(Resolved, Vec<Warning>), DeviceError> {
    let size = backing.map(|backing| backing.pages() * PAGE);
    let (resolved, mut warnings) = params.resolve(ram_bytes, size)?;
    warnings.extend(backing.and_then(BackingSwap::warning).cloned());
    if backing.is_none() && params.backing_encryption == Some(BackingEncryption::On) {
        warnings.push(Warning::NothingToEncrypt);
    }
    Ok((resolved, warnings))
}

impl BackingSwap {
    /// Opens the swap area at `path`, checks it and claims it.
    ///
    /// # Errors
    /// [`DeviceError`] if it can't be opened, is a file that others may read or write, or one that
    /// is not written in place, is not a swap area of whole, allocated pages without bad ones, or
    /// is in use by `swapon`, by another device or another program.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let failed = |action| {
            move |source: io::Error| DeviceError::BackingIo {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let busy = |user: &str| DeviceError::BackingBusy {
            path: path.to_owned(),
            user: user.to_owned(),
        };
        let unfit = |reason: &str| DeviceError::BackingUnfit {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        // From here on the path is for messages.
        let found = Found::at(path).map_err(failed("opening it"))?;
        let metadata = found.metadata();
        let identity = if found.is_file() {
            if let Some(reason) = found.exposed_file() {
                return Err(unfit(&reason));
            }
            check_file_system(found.fd())
                .map_err(failed("examining its file system"))?
                .map_err(|e| unfit(&e.to_string()))?;
            Identity::File {
                dev: metadata.dev(),
                ino: metadata.ino(),
            }
        } else if found.is_block_device() {
            Identity::Block {
                rdev: metadata.rdev(),
            }
        } else if found.is_symlink() {
            return Err(unfit(
                "it is a symbolic link, and not to a block device: give the path of the file itself",
            ));
        } else {
            return Err(unfit(
                "it is neither a file nor a block device: give a swap area",
            ));
        };
        let itself = found.path();
        let swaps = swap::active().map_err(failed("reading /proc/swaps"))?;
        if swaps
            .iter()
            .any(|entry| swap::same_file(&entry.path, &itself))
        {
            return Err(busy("swapon"));
        }
        if let Some(number) = Root::default().backed_by(&itself) {
            return Err(busy(&format!("ramzswap{number} of the kernel driver")));
        }
        let claim = Claim::new(identity).ok_or_else(|| busy("another ramzswap device"))?;
        let exclusive = if found.is_block_device() {
            libc::O_EXCL
        } else {
            0
        };
        let file = found
            .open(libc::O_DIRECT | exclusive)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::EBUSY) => busy("another program (swap, a mount or another device)"),
                Some(libc::ETXTBSY) => busy("swapon"),
                Some(libc::EINVAL) => unfit(
                    "its file system has no direct I/O: put it on one that has (ext4, xfs, btrfs)",
                ),
                _ => failed("opening it")(e),
            })?;
        if found.is_file() {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy("another program (locked)")),
                Err(e) => return Err(failed("locking it")(e.into())),
            }
        }
        let size = rustix::fs::seek(&file, SeekFrom::End(0))
            .map_err(|e| failed("reading its size")(e.into()))?;
        let pages = usable_pages(&file, size).map_err(|e| match e {
            Unusable::Io(e) => failed("reading its header")(e),
            Unusable::Header(source) => DeviceError::BackingHeader {
                path: path.to_owned(),
                source,
            },
        })?;
        if found.is_file() && is_marked_as_swap(&file) {
            return Err(busy("swapon or the kernel driver"));
        }
        if found.is_file() {
            check_extents(&file, pages * PAGE)
                .map_err(failed("asking where its data lies"))?
                .map_err(|e| unfit(&e.to_string()))?;
            if stays_open_elsewhere(&file) {
                return Err(busy("another program (open there)"));
            }
        }
        let warning = found.exposed_device().map(|mode| Warning::BackingExposed {
            path: path.to_owned(),
            mode,
        });
        Ok(BackingSwap {
            file,
            pages,
            is_file: found.is_file(),
            warning,
            _claim: claim,
        })
    }

    /// Its pages, the header included: as many as the device will have.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// What the user should know of it.
    #[must_use]
    pub fn warning(&self) -> Option<&Warning> {
        self.warning.as_ref()
    }
}

/// Why a file has no usable pages.
enum Unusable {
    Io(io::Error),
    Header(HeaderError),
}

/// The pages of the swap area in `file`, which has so many bytes.
fn usable_pages(file: &File, bytes: u64) -> Result<u64, Unusable> {
    let room = SwapHeader::room(bytes).map_err(Unusable::Header)?;
    // As much as the largest page size that there is.
    let mut start = Box::new(Start([[0; PAGE_SIZE]; 16]));
    let read = file
        .read_at(start.0.as_flattened_mut(), 0)
        .map_err(Unusable::Io)?;
    let header = match SwapHeader::check(&start.0[0], room) {
        Err(HeaderError::NoSignature) => {
            let known = start.0.as_flattened().get(..read).unwrap_or_default();
            Err(SwapHeader::foreign_page_size(known)
                .map_or(HeaderError::NoSignature, HeaderError::PageSize))
        }
        other => other,
    };
    Ok(u64::from(header.map_err(Unusable::Header)?.last_page) + 1)
}

/// Whether the kernel keeps everybody from writing to a file, since it is swap, or the kernel
/// driver's backing swap. Asked once it is open for writing, when the driver would refuse it: of two
/// that come at the same time, one at least sees the other.
fn is_marked_as_swap(file: &File) -> bool {
    // Its first page, which was read, has room: nothing changes. The kernel looks for the mark
    // before it asks the file system, which need not know the call.
    let reserved = rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, PAGE);
    reserved == Err(rustix::io::Errno::TXTBSY)
}

/// The error of the engine for a failed transfer.
fn error(transfer: Transfer, index: u64, e: &io::Error) -> BackingError {
    BackingError {
        transfer,
        index,
        errno: e.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Whether memory lies where direct I/O can use it.
fn aligned<T>(at: *const T) -> bool {
    at.addr().is_multiple_of(PAGE_SIZE)
}

impl Backing for BackingSwap {
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread> {
        if aligned(pages.as_ptr()) {
            let at = first.saturating_mul(PAGE);
            let bytes = pages.as_flattened_mut();
            let read = self.file.read_exact_at(bytes, at);
            return Ok(read.map_err(|e| error(Transfer::Read, first, &e))?);
        }
        for (index, page) in (first..).zip(pages) {
            let mut copy = Aligned([0; PAGE_SIZE]);
            self.file
                .read_exact_at(&mut copy.0, index.saturating_mul(PAGE))
                .map_err(|e| error(Transfer::Read, index, &e))?;
            page.copy_from_slice(&copy.0);
        }
        Ok(())
    }

    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError> {
        if aligned(pages.as_ptr()) {
            let at = first.saturating_mul(PAGE);
            let bytes = pages.as_flattened();
            return self
                .file
                .write_all_at(bytes, at)
                .map_err(|e| error(Transfer::Write, first, &e));
        }
        for (index, page) in (first..).zip(pages) {
            let copy = Aligned(*page);
            self.file
                .write_all_at(&copy.0, index.saturating_mul(PAGE))
                .map_err(|e| error(Transfer::Write, index, &e))?;
        }
        Ok(())
    }
}
