//! Text in memory that is there already.

use core::fmt;

/// Writes text into a buffer, and drops what does not fit.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    room: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Writer { room, length: 0 }
    }

    /// Bytes that were written.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Writes bytes as they are.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.room.len() - self.length);
        self.room[self.length..self.length + fits].copy_from_slice(&bytes[..fits]);
        self.length += fits;
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// A number that a user wrote, decimal or with `0x` before it. It has no sign, as for `memparse`: a
/// `+` could be meant as "so much more".
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.contains('+') {
        return None;
    }
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A size that a user wrote: bytes, or with K, M, G or T behind it (as the kernel's `memparse`
/// reads it).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn what_does_not_fit_is_dropped() {
        let mut room = [0; 5];
        let mut writer = Writer::new(&mut room);
        write!(writer, "abc{}", 1234).unwrap();
        assert_eq!((writer.bytes(), writer.length()), (&b"abc12"[..], 5));
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("40k", 40 << 10),
            ("3M", 3 << 20),
            ("2G", 2 << 30),
            ("16T", 16 << 40),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in [
            "",
            "K",
            "-1",
            "+64M",
            "0x+40",
            "1.5G",
            "1GB",
            "1 G",
            "20000000T",
            "99999999999999999999",
            "0xg",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
