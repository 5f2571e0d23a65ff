//! What a process has mapped: `/proc/PID/maps` and, with more of each mapping, `/proc/PID/smaps`
//! (proc_pid_maps(5), proc_pid_smaps(5)).

use std::ops::Range;

use crate::proc;

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped<'a> {
    /// Its addresses, in bytes.
    pub addresses: Range<u64>,
    /// `r`, `w`, `x` or hyphens in their place, and `p` (private) or `s` (shared).
    pub rights: &'a [u8],
    /// The file that is behind it, `[heap]` and its like, or nothing.
    pub name: &'a [u8],
    /// `VmFlags` of smaps, with blanks between them; empty in maps.
    flags: &'a [u8],
}

impl<'a> Mapped<'a> {
    /// The first line of a mapping; `None` of one that says more of it.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let (start, end) = std::str::from_utf8(fields.next()?).ok()?.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some(Mapped {
            addresses: address(start)?..address(end)?,
            rights: fields.next()?,
            // Behind offset, device and inode.
            name: fields.nth(3).unwrap_or_default().trim_ascii_start(),
            flags: b"",
        })
    }

    /// Whether it is private memory that can be written, and no file's.
    #[must_use]
    pub fn is_private_memory(&self) -> bool {
        self.rights == b"rw-p" && !self.name.starts_with(b"/")
    }

    /// Whether smaps shows a flag, such as `dd` (not dumped) or `lo` (locked).
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        proc::words(self.flags).any(|have| have == flag.as_bytes())
    }
}

/// The mappings of a text of maps or smaps. Lines that are not as the kernel writes them are left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mapped<'_>> {
    let mut found: Vec<Mapped<'_>> = Vec::new();
    for line in proc::lines(text) {
        if let Some(mapped) = Mapped::parse(line) {
            found.push(mapped);
        } else if let (Some(last), Some(flags)) = (found.last_mut(), line.strip_prefix(b"VmFlags:"))
        {
            last.flags = flags;
        }
    }
    found
}

/// The mapping that has an address.
#[must_use]
pub fn at(text: &[u8], address: u64) -> Option<Mapped<'_>> {
    parse(text)
        .into_iter()
        .find(|mapped| mapped.addresses.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &[u8] = b"55d0c7a00000-55d0c7a21000 rw-p 00000000 00:00 0                          [heap]\n\
        Size:                132 kB\nTHPeligible:    0\nVmFlags: rd wr mr mw me ac \n\
        7f0000000000-7f0000002000 rw-s 00000000 00:01 7                          /memfd:a \xff b (deleted)\n\
        Rss:                   0 kB\nVmFlags: rd wr sh lo dd \n\
        7f0000002000-7f0000003000 rw-p 00000000 00:00 0 \n\
        7f0000003000-7f0000004000 r--p 00000000 00:00 0\n";

    #[test]
    fn mappings_have_addresses_names_and_flags() {
        let found = parse(SMAPS);
        let names: Vec<_> = found.iter().map(|mapped| mapped.name).collect();
        let memfd = &b"/memfd:a \xff b (deleted)"[..];
        assert_eq!(names, [&b"[heap]"[..], memfd, b"", b""]);
        assert_eq!(found[0].addresses, 0x55d0_c7a0_0000..0x55d0_c7a2_1000);
        let private: Vec<_> = found.iter().map(Mapped::is_private_memory).collect();
        assert_eq!(private, [true, false, true, false]);
        assert!(found[1].has_flag("dd") && found[1].has_flag("lo"));
        assert!(!found[0].has_flag("dd") && !found[1].has_flag("d") && !found[2].has_flag("lo"));
    }

    #[test]
    fn the_mapping_of_an_address_is_found() {
        let rights = |address| at(SMAPS, address).map(|mapped| mapped.rights);
        assert_eq!(rights(0x7f00_0000_1fff), Some(&b"rw-s"[..]));
        assert_eq!(rights(0x7f00_0000_3000), Some(&b"r--p"[..]));
        assert_eq!(rights(0x7f00_0000_4000), None);
    }

    #[test]
    fn a_file_of_this_program_cannot_be_written() {
        let text = proc::of(std::process::id(), "maps").unwrap();
        let code = (parse as fn(&[u8]) -> Vec<Mapped<'_>>) as usize as u64;
        let mapped = at(&text, code).unwrap();
        assert!(
            mapped.rights.starts_with(b"r-x") && mapped.name.starts_with(b"/"),
            "{mapped:?}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(0u8.., 0..200)) {
            let _ = parse(&text);
        }
    }
}
