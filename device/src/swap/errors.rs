//! Errors of swap areas, in words.

use std::io;

use rustix::thread::{CapabilitySet, capabilities};

use super::{MAX_PRIORITY, active};
use crate::error::DeviceError;

/// The error of a failed `swapon(2)` of the device `name`.
pub(crate) fn refused(name: &str, source: io::Error) -> DeviceError {
    let may = capabilities(None)
        .is_ok_and(|capabilities| capabilities.effective.contains(CapabilitySet::SYS_ADMIN));
    let areas = active().map_or(0, |areas| areas.len());
    let remedy = remedy(source.raw_os_error(), may, areas);
    DeviceError::system(format!("swap on {name}"), source, remedy.as_deref())
}

/// The error of a `/proc/swaps` that can't be read or watched.
pub(crate) fn unreadable(source: io::Error) -> DeviceError {
    DeviceError::system("read /proc/swaps", source, "mount /proc")
}

/// What to do about it, for a caller who may swap on or not, on a machine with so many swap areas.
/// See swapon(2): the kernel says EPERM for two things.
fn remedy(errno: Option<i32>, may: bool, areas: usize) -> Option<String> {
    match errno? {
        libc::EPERM if may => Some(format!(
            "{areas} swap areas are in use, and the kernel has room for no more (23 to 29, by its \
             configuration): swap one off first"
        )),
        libc::EPERM => Some("only root may do this".to_owned()),
        libc::EINVAL => Some(format!(
            "the priority must lie between 0 and {MAX_PRIORITY}"
        )),
        libc::ENOMEM => Some(
            "the kernel lacks memory for the area's table: free some, or \
             give the device a smaller disksize"
                .to_owned(),
        ),
        libc::EBUSY => Some("it is swapped on or mounted already: see /proc/swaps".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_of_eperm() {
        let full = remedy(Some(libc::EPERM), true, 29).unwrap();
        assert!(full.starts_with("29 swap areas"), "{full}");
        assert!(!full.contains("root"), "{full}");
        let user = remedy(Some(libc::EPERM), false, 1).unwrap();
        assert_eq!(user, "only root may do this");
    }

    #[test]
    fn others_name_what_is_wrong() {
        let value = remedy(Some(libc::EINVAL), true, 1).unwrap();
        assert!(value.contains("0 and 32767"), "{value}");
        assert!(remedy(Some(libc::ENOMEM), true, 1).is_some());
        assert!(remedy(Some(libc::EIO), true, 1).is_none());
        assert!(remedy(None, true, 1).is_none());
    }
}
