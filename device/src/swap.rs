//! The kernel's swap code: `swapon`, `swapoff` and `/proc/swaps`.

pub mod changes;
pub(crate) mod errors;
pub mod room;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use compcache_engine::swap_header::SwapHeader;
use compcache_host::proc;

/// The highest priority that `swapon` takes (`SWAP_FLAG_PRIO_MASK`).
pub const MAX_PRIORITY: i32 = 0x7fff;
const FLAG_PREFER: i32 = 0x8000;
const FLAG_DISCARD: i32 = 0x1_0000;

/// The header of a new swap area of `pages` pages, with a random UUID.
///
/// # Errors
/// If the kernel gives no random bytes.
pub(crate) fn fresh_header(pages: u64, label: &str) -> io::Result<SwapHeader> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(SwapHeader::fresh(pages, random, label))
}

/// One line of `/proc/swaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file or block device, as the kernel names it.
    pub path: PathBuf,
    /// Whether it is a block device (`partition` in the table).
    pub partition: bool,
    /// Its size in bytes, header excluded.
    pub size_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Its priority; negative ones were given by the kernel.
    pub priority: i32,
}

/// Reads the text of `/proc/swaps`. Lines that do not parse are left out.
#[must_use]
pub fn parse(table: &[u8]) -> Vec<Entry> {
    proc::lines(table).skip(1).filter_map(parse_line).collect()
}

/// `path` (blanks escaped as `\ooo`), type, size in KiB, used in KiB, priority. A path whose
/// file is gone has ` (deleted)` behind it, its blank escaped too.
fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut fields = proc::words(line);
    let path = proc::unescape(fields.next()?);
    let partition = fields.next()? == b"partition";
    let mut number = || {
        std::str::from_utf8(fields.next()?)
            .ok()?
            .parse::<i64>()
            .ok()
    };
    let size = u64::try_from(number()?).ok()?.checked_mul(1024)?;
    let used = u64::try_from(number()?).ok()?.checked_mul(1024)?;
    let priority = i32::try_from(number()?).ok()?;
    Some(Entry {
        path,
        partition,
        size_bytes: size,
        used_bytes: used,
        priority,
    })
}

/// The active swap areas.
///
/// # Errors
/// If `/proc/swaps` can't be read. A kernel without swap has no such file: no entries.
pub fn active() -> io::Result<Vec<Entry>> {
    match std::fs::read("/proc/swaps") {
        Ok(table) => Ok(parse(&table)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// The active swap area on the block device `path` (a symlink is followed), if there is one.
/// Block devices are compared by number, so that another node of the same device is found.
///
/// # Errors
/// If `/proc/swaps` can't be read.
pub fn find(path: &Path) -> io::Result<Option<Entry>> {
    Ok(active()?
        .into_iter()
        .find(|entry| same_file(&entry.path, path)))
}

/// Whether two paths name one block device or one file.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    if a == b {
        return true;
    }
    let (Ok(a), Ok(b)) = (std::fs::metadata(a), std::fs::metadata(b)) else {
        return false;
    };
    let block = |mode: u32| mode & libc::S_IFMT == libc::S_IFBLK;
    match (block(a.mode()), block(b.mode())) {
        (true, true) => a.rdev() == b.rdev(),
        (false, false) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

/// A priority above every active swap area, at least 1 and at most [`MAX_PRIORITY`].
///
/// # Errors
/// If `/proc/swaps` can't be read.
pub fn priority_above_all() -> io::Result<i32> {
    Ok(above(&active()?))
}

fn above(entries: &[Entry]) -> i32 {
    entries
        .iter()
        .map(|e| e.priority)
        .max()
        .unwrap_or(0)
        .max(0)
        .saturating_add(1)
        .min(MAX_PRIORITY)
}

/// `swapon(2)` with a priority of 0 to [`MAX_PRIORITY`] (`None`: the kernel chooses a negative
/// one), and with discard of freed pages or not.
///
/// # Errors
/// Those of the system call; `EINVAL` for a priority out of range.
pub fn on(path: &Path, priority: Option<i32>, discard: bool) -> io::Result<()> {
    let mut flags = if discard { FLAG_DISCARD } else { 0 };
    if let Some(priority) = priority {
        if !(0..=MAX_PRIORITY).contains(&priority) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        flags |= FLAG_PREFER | priority;
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string that lives until the call returns.
    if unsafe { libc::swapon(path.as_ptr(), flags) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// [`on`] with this priority, or (`None`) one above every active swap area. Returns the priority.
///
/// # Errors
/// Those of [`on`], and if `/proc/swaps` can't be read.
pub fn on_above_all(path: &Path, priority: Option<i32>, discard: bool) -> io::Result<i32> {
    let priority = match priority {
        Some(priority) => priority,
        None => priority_above_all()?,
    };
    on(path, Some(priority), discard)?;
    Ok(priority)
}

/// `swapoff(2)`: returns when every page of the area is back in memory, which may take long.
///
/// # Errors
/// Those of the system call: `ENOMEM` if the pages do not fit back, `EINVAL` if the
/// area is not active.
pub fn off(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string that lives until the call returns.
    if unsafe { libc::swapoff(path.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
        /dev/loop0                              partition\t524284\t\t1024\t\t100\n\
        /var/swap\\040file\\134x                  file\t\t8\t\t0\t\t-2\n";

    #[test]
    fn the_table_is_read() {
        let entries = parse(TABLE);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].path, Path::new("/dev/loop0"));
        assert!(entries[0].partition);
        assert_eq!(entries[0].size_bytes, 524_284 * 1024);
        assert_eq!(entries[0].used_bytes, 1024 * 1024);
        assert_eq!(entries[0].priority, 100);
        assert_eq!(entries[1].path, Path::new("/var/swap file\\x"));
        assert!(!entries[1].partition);
        assert_eq!(entries[1].priority, -2);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        assert!(parse(b"").is_empty());
        assert!(parse(b"Filename\n").is_empty());
        assert!(parse(b"Filename\n/dev/x partition\n/dev/y file 1 2 z\n\n").is_empty());
        assert!(parse(b"Filename\n/dev/x file -1 0 0\n").is_empty());
        assert!(parse(&[b'\n', 0xff, b' ', 0xff, b' ', 0xff, b' ', 0xff, b' ', 0xff]).is_empty());
    }

    #[test]
    fn the_default_priority_is_above_all() {
        assert_eq!(above(&[]), 1);
        let entries = parse(TABLE);
        assert_eq!(above(&entries), 101);
        assert_eq!(above(&entries[1..]), 1);
        let top = Entry {
            priority: MAX_PRIORITY,
            ..entries[0].clone()
        };
        assert_eq!(above(&[top]), MAX_PRIORITY);
    }

    #[test]
    fn the_system_table_is_readable() {
        active().unwrap();
    }

    #[test]
    fn a_priority_out_of_range_is_refused() {
        for priority in [-1, MAX_PRIORITY + 1] {
            let error = on(Path::new("/nonexistent"), Some(priority), false).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }
}
