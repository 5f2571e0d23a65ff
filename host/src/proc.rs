//! The text that the kernel writes into files of `/proc`, `/sys` and cgroups (proc(5)).
//!
//! It is bytes: paths and names in it need not be UTF-8, so none of it is read as a string.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

/// All of a file.
///
/// # Errors
/// The kernel's, with the path in the message.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// All of `/proc/PID/FILE`.
///
/// # Errors
/// The kernel's, with the path in the message.
pub fn of(pid: u32, file: &str) -> io::Result<Vec<u8>> {
    read(Path::new(&format!("/proc/{pid}/{file}")))
}

/// All of a file in an open directory.
///
/// # Errors
/// The kernel's.
pub fn read_at(directory: BorrowedFd<'_>, name: &str) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// All of a file, or nothing of one that cannot be read, such as one that this kernel has not.
#[must_use]
pub fn read_or_empty(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// The lines of a text, without their ends.
pub fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// The words of a line: what stands between its blanks.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// A word as a number in decimal.
#[must_use]
pub fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word.trim_ascii()).ok()?.parse().ok()
}

/// The number that is all of a file; `None` if there is no such file, or no number in it.
#[must_use]
pub fn number_in(path: &Path) -> Option<u64> {
    number(&read_or_empty(path))
}

/// The words after a key, in a text of lines `KEY WORD…` such as `/proc/vmstat`, or `KEY: WORD…` such
/// as `/proc/meminfo`.
pub fn after<'a>(text: &'a [u8], key: &str) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
    lines(text).find_map(|line| {
        let mut words = words(line);
        let first = words.next()?;
        (first.strip_suffix(b":").unwrap_or(first) == key.as_bytes()).then_some(words)
    })
}

/// The number [`after`] a key.
#[must_use]
pub fn value(text: &[u8], key: &str) -> Option<u64> {
    number(after(text, key)?.next()?)
}

/// The fields of `/proc/PID/stat` behind the program's name, which stands in brackets and may have
/// blanks and brackets in it: the state, the parent and so on.
pub fn stat_fields(text: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    Some(words(&text[name_end + 1..]))
}

/// A device's numbers, major and minor, from a text such as `7:3`.
#[must_use]
pub fn device_numbers(text: &[u8]) -> Option<(u32, u32)> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let part = |part| u32::try_from(number(part)?).ok();
    Some((part(&text[..colon])?, part(&text[colon + 1..])?))
}

/// Undoes the kernel's octal escapes of blanks and backslashes in a path (`\040`; `seq_path` in
/// `fs/seq_file.c`).
#[must_use]
pub fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match tail {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if *first == b'\\' => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// The machine's memory in bytes.
#[must_use]
pub fn ram_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram as u64)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = b"MemTotal:  8 kB\nActive(file):   5 kB\npgsteal_file 9\nbroken\n";
        assert_eq!(value(text, "MemTotal"), Some(8));
        assert_eq!(value(text, "Active(file)"), Some(5));
        assert_eq!(value(text, "Active"), None);
        assert_eq!(value(text, "pgsteal_file"), Some(9));
        assert_eq!(value(text, "broken"), None);
        let words: Vec<_> = after(text, "MemTotal").unwrap().collect();
        assert_eq!(words, [&b"8"[..], b"kB"]);
    }

    #[test]
    fn fields_are_counted_behind_the_programs_name() {
        let mut fields = stat_fields(b"7 (a ) \xff(b) S 2 0\n").unwrap();
        assert_eq!(fields.next(), Some(&b"S"[..]));
        assert_eq!(fields.next().and_then(number), Some(2));
        assert!(stat_fields(b"7 name").is_none());
    }

    #[test]
    fn devices_have_two_numbers() {
        assert_eq!(device_numbers(b"259:3\n"), Some((259, 3)));
        for bad in [&b""[..], b"7", b"7:", b":3", b"7:3:1", b"7:4294967296"] {
            assert_eq!(device_numbers(bad), None);
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(br"/a\040b\134c\011"), Path::new("/a b\\c\t"));
        assert_eq!(unescape(br"/a\9zz\04"), Path::new(r"/a\9zz\04"));
        assert_eq!(unescape(br"/\777"), Path::new(r"/\777"));
        // A directory may have any bytes in its name.
        assert_eq!(
            unescape(b"/\xff\\040\xfe"),
            Path::new(OsStr::from_bytes(b"/\xff \xfe"))
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/proc/none")).unwrap_err();
        assert!(error.to_string().contains("/proc/none"), "{error}");
        assert_eq!(number_in(Path::new("/proc/none")), None);
    }
}
