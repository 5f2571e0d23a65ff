//! `/proc/meminfo`: what the kernel says of its memory (proc(5)).

use std::io;
use std::path::Path;

use crate::proc;

/// The table, as it was when it was read.
#[derive(Clone, Debug)]
pub struct Meminfo(Vec<u8>);

/// The RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it, in bytes (`MemTotal`).
    pub total: u64,
    /// What programs could have now without swapping, in bytes (`MemAvailable`).
    pub available: u64,
}

impl Meminfo {
    /// The system's.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read() -> io::Result<Self> {
        Meminfo::read_in(Path::new("/proc"))
    }

    /// That of a /proc.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read_in(proc: &Path) -> io::Result<Self> {
        proc::read(&proc.join("meminfo")).map(Meminfo)
    }

    /// From its text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Meminfo(text.to_vec())
    }

    /// The bytes of a line `KEY: N kB`; `None` if there is none.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<u64> {
        proc::value(&self.0, key)?.checked_mul(1024)
    }

    /// The RAM; `None` if it is not said.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        Some(Memory {
            total: self.bytes("MemTotal")?,
            available: self.bytes("MemAvailable")?,
        })
    }
}

impl Memory {
    /// What the system has now.
    ///
    /// # Errors
    /// If `/proc/meminfo` can't be read, or is not as proc(5) says.
    pub fn now() -> io::Result<Self> {
        let memory = Meminfo::read()?.memory();
        memory.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_bytes() {
        let text = b"MemTotal:       24684308 kB\nMemFree:  1 kB\nMemAvailable:   24378000 kB\n";
        let meminfo = Meminfo::of(text);
        assert_eq!(meminfo.bytes("MemFree"), Some(1024));
        assert_eq!(meminfo.bytes("Zswap"), None);
        let expected = Memory {
            total: 24_684_308 << 10,
            available: 24_378_000 << 10,
        };
        assert_eq!(meminfo.memory(), Some(expected));
        assert!(Memory::now().is_ok());
    }

    #[test]
    fn what_is_no_number_or_too_large_is_not_there() {
        let meminfo =
            Meminfo::of(b"MemTotal: many kB\nMemAvailable: 18446744073709551615 kB\n\xff: \xff");
        assert_eq!(meminfo.bytes("MemTotal"), None);
        assert_eq!(meminfo.bytes("MemAvailable"), None);
        assert_eq!(meminfo.memory(), None);
    }
}
