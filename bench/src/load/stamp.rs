//! Stamps: 16 bytes that make each page another, whatever else is in it.

use anyhow::{Result, ensure};
use compcache_engine::{PAGE_SIZE, Page};

/// Where the stamp of a page lies.
fn place(index: usize) -> usize {
    index % (PAGE_SIZE / 64) * 64
}

/// Writes into a page which it is, and how often it was changed.
pub(crate) fn write(page: &mut Page, index: usize, version: u32) {
    let stamp = (index as u128) << 64 | u128::from(version);
    page[place(index)..][..16].copy_from_slice(&stamp.to_be_bytes());
}

#[inline]
pub(crate) fn read(page: &Page, index: usize) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&page[place(index)..][..16]);
    u128::from_be_bytes(bytes)
}

/// Checks that this is page `index` after `version` changes.
pub(crate) fn check(page: &Page, index: usize, version: u32) -> Result<()> {
    ensure!(
        read(page, index) == (index as u128) << 64 | u128::from(version),
        "page {index} has come back wrong"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_from_all_others_and_from_its_older_versions() {
        let mut page = [0; PAGE_SIZE];
        for index in [0, 1, 64, 1 << 20] {
            write(&mut page, index, 7);
            check(&page, index, 7).unwrap();
            assert!(check(&page, index, 6).is_err());
            assert!(check(&page, index + PAGE_SIZE, 7).is_err());
        }
        assert!(check(&[0; PAGE_SIZE], 3, 0).is_err());
    }
}
