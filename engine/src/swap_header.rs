//! The swap header: the first page of a swap area, as `mkswap` writes it.
//!
//! The layout is `union swap_header` of the Linux kernel's `include/linux/swap.h`, all
//! numbers in the machine's own byte order:
//!
//! ```text
//! 0     boot block, not ours
//! 1024  u32 version (1)
//! 1028  u32 last_page: index of the last usable page
//! 1032  u32 nr_badpages
//! 1036  u8[16] uuid
//! 1052  u8[16] volume label, padded with zeros
//! 1068  u32[117] padding, then the list of bad pages
//! 4086  "SWAPSPACE2"
//! ```

use crate::disk::{MIN_DISKSIZE, PAGE};
use crate::page::{PAGE_SIZE, Page};

/// The signature of a swap area of version 1.
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";
/// The signature that a hibernated system leaves: the area holds its memory image.
const HIBERNATED: &[u8; 10] = b"S1SUSPEND\0";
const SIGNATURE_AT: usize = PAGE_SIZE - SIGNATURE.len();
const VERSION_AT: usize = 1024;
const LAST_PAGE_AT: usize = 1028;
const BAD_PAGES_AT: usize = 1032;
const UUID_AT: usize = 1036;
const LABEL_AT: usize = 1052;
/// Most bytes of a label.
pub const LABEL_LEN: usize = 16;

/// What a swap header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapHeader {
    /// Index of the last usable page: the area has one page more than this, page 0 included.
    pub last_page: u32,
    /// The area's UUID.
    pub uuid: [u8; 16],
    /// The area's label, padded with zeros.
    pub label: [u8; LABEL_LEN],
}

/// Why a first page is not the header of a swap area that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Too short for the smallest swap area that `mkswap` makes.
    #[error(
        "it has {bytes} bytes, and a swap area has at least {MIN_DISKSIZE} ({} pages): give a larger \
         one, prepared with mkswap", MIN_DISKSIZE / PAGE
    )]
    TooShort {
        /// Its size in bytes.
        bytes: u64,
    },
    /// No signature where a page of 4096 bytes has it.
    #[error("it is not a swap area: no SWAPSPACE2 signature; prepare it with mkswap")]
    NoSignature,
    /// A signature where another page size would have it.
    #[error(
        "its swap header is for pages of {0} bytes, this machine's have 4096: prepare it again \
         with mkswap"
    )]
    PageSize(usize),
    /// It holds the image of a hibernated system.
    #[error("it holds the memory of a hibernated system: resume or discard that first (mkswap)")]
    Hibernated,
    /// Another version.
    #[error("its swap header has version {0}, only version 1 is known: prepare it with mkswap")]
    Version(u32),
    /// Another byte order.
    #[error("its swap header has the other byte order: prepare it on this machine with mkswap")]
    ByteOrder,
    /// Bad pages.
    #[error("it lists {0} bad pages, none are allowed: make one on a sound medium with mkswap")]
    BadPages(u32),
    /// Nothing but the header.
    #[error("it has no usable page (last page 0): prepare a larger one with mkswap")]
    Empty,
    /// The file is shorter than the header says.
    #[error(
        "it is truncated: its header names page {last_page} as the last, but it has only \
         {pages} pages; prepare it again with mkswap"
    )]
    Truncated {
        /// The last page by the header.
        last_page: u32,
        /// The pages that are there.
        pages: u64,
    },
}

impl SwapHeader {
    /// The header of an area of `last_page + 1` pages, header included. A label longer than
    /// [`LABEL_LEN`] bytes is cut.
    #[must_use]
    pub fn new(last_page: u32, uuid: [u8; 16], label: &str) -> Self {
        let mut padded = [0; LABEL_LEN];
        for (to, from) in padded.iter_mut().zip(label.as_bytes()) {
            *to = *from;
        }
        SwapHeader {
            last_page,
            uuid,
            label: padded,
        }
    }

    /// The header of a new area of `pages` pages, as `mkswap` makes it: its UUID is one of version
    /// 4 (RFC 9562, section 5.4) of these random bytes. More pages than a header can name are not
    /// named.
    #[must_use]
    pub fn fresh(pages: u64, random: [u8; 16], label: &str) -> Self {
        let mut uuid = random;
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let last_page = u32::try_from(pages.saturating_sub(1)).unwrap_or(u32::MAX);
        SwapHeader::new(last_page, uuid, label)
    }

    /// The first page of the area.
    #[must_use]
    pub fn to_page(&self) -> Page {
        let mut page = [0; PAGE_SIZE];
        self.write_to(&mut page);
        page
    }

    /// Makes a page the first page of the area.
    pub fn write_to(&self, page: &mut Page) {
        page.fill(0);
        page[VERSION_AT..VERSION_AT + 4].copy_from_slice(&1_u32.to_ne_bytes());
        page[LAST_PAGE_AT..LAST_PAGE_AT + 4].copy_from_slice(&self.last_page.to_ne_bytes());
        page[UUID_AT..UUID_AT + 16].copy_from_slice(&self.uuid);
        page[LABEL_AT..LABEL_AT + LABEL_LEN].copy_from_slice(&self.label);
        page[SIGNATURE_AT..].copy_from_slice(SIGNATURE);
    }

    /// The whole pages of a file or partition of so many bytes, whose first one is to be read.
    ///
    /// # Errors
    /// [`HeaderError::TooShort`] if no swap area is that small.
    pub fn room(bytes: u64) -> Result<u64, HeaderError> {
        match bytes {
            MIN_DISKSIZE.. => Ok(bytes / PAGE),
            _ => Err(HeaderError::TooShort { bytes }),
        }
    }

    /// Reads and checks the first page of an area that is `pages` pages long.
    ///
    /// # Errors
    /// [`HeaderError`] says what is wrong with it.
    pub fn check(page: &Page, pages: u64) -> Result<Self, HeaderError> {
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&page[at..at + 4]);
            u32::from_ne_bytes(bytes)
        };
        match &page[SIGNATURE_AT..] {
            s if s == SIGNATURE => {}
            s if s == HIBERNATED => return Err(HeaderError::Hibernated),
            _ => return Err(HeaderError::NoSignature),
        }
        match number(VERSION_AT) {
            1 => {}
            v if v.swap_bytes() == 1 => return Err(HeaderError::ByteOrder),
            v => return Err(HeaderError::Version(v)),
        }
        let bad = number(BAD_PAGES_AT);
        if bad != 0 {
            return Err(HeaderError::BadPages(bad));
        }
        let last_page = number(LAST_PAGE_AT);
        if last_page == 0 {
            return Err(HeaderError::Empty);
        }
        if u64::from(last_page) >= pages {
            return Err(HeaderError::Truncated { last_page, pages });
        }
        let mut header = SwapHeader {
            last_page,
            uuid: [0; 16],
            label: [0; LABEL_LEN],
        };
        header.uuid.copy_from_slice(&page[UUID_AT..UUID_AT + 16]);
        header
            .label
            .copy_from_slice(&page[LABEL_AT..LABEL_AT + LABEL_LEN]);
        Ok(header)
    }

    /// The page size of a swap area whose start is `bytes`, if it is one of another page size
    /// than 4096 (8, 16, 32 or 64 KiB). `bytes` may be shorter than the largest of these.
    #[must_use]
    pub fn foreign_page_size(bytes: &[u8]) -> Option<usize> {
        [8192, 16384, 32768, 65536].into_iter().find(|&size| {
            bytes
                .get(size - SIGNATURE.len()..size)
                .is_some_and(|s| s == SIGNATURE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn page() -> Page {
        SwapHeader::new(9, [7; 16], "label").to_page()
    }

    /// Sets the number at byte `at`.
    fn with(at: usize, n: u32) -> Page {
        let mut page = page();
        page[at..at + 4].copy_from_slice(&n.to_ne_bytes());
        page
    }

    #[test]
    fn the_layout_is_that_of_mkswap() {
        let page = page();
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        assert_eq!(page[1024..1028], 1_u32.to_ne_bytes());
        assert_eq!(page[1028..1032], 9_u32.to_ne_bytes());
        assert_eq!(page[1036..1052], [7; 16]);
        assert_eq!(&page[1052..1060], b"label\0\0\0");
        assert!(
            page[..1024]
                .iter()
                .chain(&page[1068..4086])
                .all(|b| *b == 0)
        );
    }

    #[test]
    fn a_long_label_is_cut() {
        let header = SwapHeader::new(9, [0; 16], "a label of more than 16 bytes");
        assert_eq!(&header.label, b"a label of more ");
    }

    #[test]
    fn unfit_headers_are_told_apart() {
        let mut unsigned = page();
        unsigned[4090] ^= 1;
        let mut old = page();
        old[4086..].copy_from_slice(b"SWAP-SPACE");
        let mut hibernated = page();
        hibernated[4086..].copy_from_slice(HIBERNATED);
        for (page, error) in [
            ([0; PAGE_SIZE], HeaderError::NoSignature),
            (unsigned, HeaderError::NoSignature),
            (old, HeaderError::NoSignature),
            (hibernated, HeaderError::Hibernated),
            (with(VERSION_AT, 0), HeaderError::Version(0)),
            (with(VERSION_AT, 2), HeaderError::Version(2)),
            (with(VERSION_AT, 1_u32.swap_bytes()), HeaderError::ByteOrder),
            (with(BAD_PAGES_AT, 3), HeaderError::BadPages(3)),
            (with(LAST_PAGE_AT, 0), HeaderError::Empty),
            (
                with(LAST_PAGE_AT, 10),
                HeaderError::Truncated {
                    last_page: 10,
                    pages: 10,
                },
            ),
            (
                with(LAST_PAGE_AT, u32::MAX),
                HeaderError::Truncated {
                    last_page: u32::MAX,
                    pages: 10,
                },
            ),
        ] {
            assert_eq!(SwapHeader::check(&page, 10), Err(error));
        }
        let message = HeaderError::Truncated {
            last_page: 10,
            pages: 10,
        }
        .to_string();
        assert!(
            message.contains("page 10 as the last, but it has only 10 pages"),
            "{message}"
        );
    }

    #[test]
    fn what_is_too_short_is_named_with_its_size_and_the_least() {
        assert_eq!(SwapHeader::room(MIN_DISKSIZE), Ok(10));
        assert_eq!(SwapHeader::room(MIN_DISKSIZE + PAGE - 1), Ok(10));
        for bytes in [0, 1, MIN_DISKSIZE - 1] {
            let message = SwapHeader::room(bytes).unwrap_err().to_string();
            let words = alloc::format!("it has {bytes} bytes, and a swap area has at least 40960");
            assert!(message.starts_with(&words), "{message}");
        }
    }

    #[test]
    fn another_page_size_is_recognised() {
        for size in [8192, 16384, 32768, 65536] {
            let mut bytes = vec![0; 65536];
            bytes[size - 10..size].copy_from_slice(SIGNATURE);
            assert_eq!(SwapHeader::foreign_page_size(&bytes), Some(size));
            assert_eq!(SwapHeader::foreign_page_size(&bytes[..size - 1]), None);
        }
        assert_eq!(SwapHeader::foreign_page_size(&[]), None);
    }

    proptest! {
        #[test]
        fn a_header_reads_back(last_page in 1_u32.., uuid: [u8; 16], label in "[ -~]{0,16}") {
            let header = SwapHeader::new(last_page, uuid, &label);
            let pages = u64::from(last_page) + 1;
            prop_assert_eq!(SwapHeader::check(&header.to_page(), pages), Ok(header));
        }

        #[test]
        fn any_page_is_checked_without_a_panic(
            flips in prop::collection::vec((0..PAGE_SIZE, any::<u8>()), 0..40),
            pages: u64,
        ) {
            let mut page = page();
            for (at, value) in flips {
                page[at] = value;
            }
            if let Ok(header) = SwapHeader::check(&page, pages) {
                prop_assert!(u64::from(header.last_page) < pages);
            }
        }
    }
}
