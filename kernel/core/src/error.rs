//! Why a device refused, with what, the limit and the remedy.

use core::fmt;

use compcache_engine::codec::UnknownCodec;
use compcache_engine::disk::sizes::SizeError;
use compcache_engine::disk::{AFTER_SECONDS, CPU_PERCENT, MIN_DISKSIZE, PAGE};
use compcache_engine::fallible::NoMemory;
use compcache_engine::swap_header::HeaderError;

use crate::sys::{self, FileSystem};

/// Why a request failed. The device is then as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error<'a> {
    #[error("{what}: '{value}' is not a size: give bytes, or a number with K, M, G or T")]
    NoSize { what: &'static str, value: &'a str },
    #[error("{what}: '{value}' is not a number: give {wanted}")]
    NoNumber {
        what: &'static str,
        value: &'a str,
        wanted: &'static str,
    },
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error("{0}")]
    UnknownCodec(UnknownCodec),
    #[error("recompress_algorithm: {0}; or switch it off with 'off'")]
    UnknownColdCodec(UnknownCodec),
    #[error(
        "recompress_after of {value} s is out of range: give {} to {} seconds",
        AFTER_SECONDS.start(), AFTER_SECONDS.end()
    )]
    After { value: u64 },
    #[error(
        "recompress_cpu of {value} % is out of range: give {} to {} (per cent of one CPU), or \
         switch recompression off with recompress_algorithm 'off'",
        CPU_PERCENT.start(), CPU_PERCENT.end()
    )]
    Cpu { value: u64 },
    #[error("it is initialised: reset it first to {action}")]
    Initialised { action: &'static str },
    #[error("it is not initialised: initialise it first ({remedy})")]
    NotInitialised { remedy: &'static str },
    #[error("it is in use: swap it off, unmount it or close it, then reset it")]
    Held,
    #[error("reset: '{value}' is refused: write 1")]
    ResetWord { value: &'a str },
    #[error(
        "page {index} has no chunk to damage: give the index of a page that is held compressed"
    )]
    NoChunk { index: u64 },
    #[error("no memory for {what} ({} kB): give a smaller disk, or free memory", .bytes / 1024)]
    NoMemory { what: &'static str, bytes: u64 },
    #[error(
        "the slots of a disk of {} kB would take {} kB, more than a quarter of the memory ({} kB): \
         give a smaller disk", .disksize / 1024, .table / 1024, .ram / 1024
    )]
    TableTooLarge { disksize: u64, table: u64, ram: u64 },
    #[error("cannot {action} (error {code}){}", Remedy(*.remedy))]
    Kernel {
        action: &'static str,
        code: i32,
        remedy: Option<&'static str>,
    },
    #[error("backing swap {}: {problem}", Path(.path))]
    Backing {
        path: &'a [u8],
        problem: BackingProblem,
    },
    #[error("the path of the backing swap is too long: the limit is {most} bytes")]
    PathTooLong { most: usize },
    #[error("the path of the backing swap is empty: give that of a partition or file")]
    PathEmpty,
    #[error("the path of the backing swap does not begin with '/': give the whole path")]
    PathRelative,
    #[error("the reason was printed")]
    Reported { code: i32 },
    #[error("only a user with CAP_SYS_ADMIN may do that: become root")]
    NotAdmin,
    #[error("num_devices of {value} is out of range: give 1 to 32")]
    NumDevices { value: u64 },
    #[error("cannot copy from or to the caller's memory: it is not all there")]
    Fault,
}

/// What is wrong with a backing swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackingProblem {
    #[error("cannot open it (error {code}): give the path of a swap partition or file")]
    Open { code: i32 },
    #[error(
        "it cannot be written (error {code}): mount its file system read-write, make its disk \
         writable (blockdev --setrw), or give another"
    )]
    ReadOnly { code: i32 },
    #[error(
        "it is neither a block device nor a file: give a swap partition, or a file on a file system \
         of a disk"
    )]
    Kind,
    #[error("it is, or lies on, a ramzswap device: give a partition of a disk, or a file on one")]
    Ours,
    #[error(
        "it is in use: swap it off or unmount it first, end what has it open for writing, or give \
         another"
    )]
    Busy,
    #[error(
        "its file system, {}, does not keep a file at one place of one disk (one that copies on \
         write, moves what it holds, or has no disk, does not): give a partition, or a file on \
         ext2, ext3, ext4 or xfs; or take a device in userspace (--driver user)",
        Path(.found.kind())
    )]
    FileSystem { found: FileSystem },
    #[error("cannot look up where its pages lie (error {code}): check the disk, or give another")]
    Place { code: i32 },
    #[error(
        "its file system has blocks larger than a page (4 kB): give a partition, or a file on one \
         of blocks of 4 kB"
    )]
    LargeBlocks,
    #[error("no memory for the list of its pieces: free memory, or give one in fewer pieces")]
    NoMemory,
    #[error(
        "page {page} has no place of its own on the disk (a hole, never written, shared with a \
         copy, or in small blocks that lie apart): fill a new file with dd, not truncate or \
         fallocate, and prepare it with mkswap"
    )]
    Hole { page: u64 },
    #[error("reading its header failed (error {code}): check the disk")]
    Read { code: i32 },
    #[error("{0}")]
    Header(HeaderError),
    #[error("its header names {pages} pages: give one of at least {} (40 kB)", MIN_DISKSIZE / PAGE)]
    TooSmall { pages: u64 },
}

/// A path as text, as far as it is that, without the 0 at its end.
struct Path<'a>(&'a [u8]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.strip_suffix(b"\0").unwrap_or(self.0);
        path.utf8_chunks()
            .try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}

/// What the user can do, if anything, behind what went wrong.
struct Remedy(Option<&'static str>);

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(remedy) => write!(f, ": {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error<'_> {
    /// The error number for the caller, positive.
    pub(crate) fn errno(&self) -> i32 {
        match self {
            Error::Initialised { .. } | Error::Held => sys::EBUSY,
            Error::NoMemory { .. } | Error::TableTooLarge { .. } => sys::ENOMEM,
            Error::Kernel { code, .. } | Error::Reported { code } => *code,
            Error::NotAdmin => sys::EPERM,
            Error::Fault => sys::EFAULT,
            Error::Backing { problem, .. } => match problem {
                BackingProblem::Open { code }
                | BackingProblem::ReadOnly { code }
                | BackingProblem::Place { code }
                | BackingProblem::Read { code } => *code,
                BackingProblem::Busy => sys::EBUSY,
                BackingProblem::NoMemory => sys::ENOMEM,
                _ => sys::EINVAL,
            },
            _ => sys::EINVAL,
        }
    }
}

/// Names what there is no memory for.
pub(crate) fn no_memory<'a>(what: &'static str, bytes: u64) -> impl FnOnce(NoMemory) -> Error<'a> {
    move |NoMemory| Error::NoMemory { what, bytes }
}
