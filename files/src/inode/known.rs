//! What the kernel knows of an inode's attributes, by which it judges who may open it.

use std::time::{Duration, Instant};

use rustix::fs::Statx;

use super::stat::stamp;
use crate::content::Stamp;

/// The kernel tries an open a second time if it is answered with ESTALE, and no third time: how long
/// the next one is certainly not that.
const ONE_OPEN: Duration = Duration::from_secs(1);

/// Attributes that were reported to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reported {
    /// Size and times as they were reported.
    stamp: Stamp,
    /// Size and times that SOURCE had then.
    source: Stamp,
    mode: u16,
    uid: u32,
    gid: u32,
}

impl Reported {
    /// What SOURCE says, of which `stamp` is reported.
    fn new(found: &Statx, stamp_reported: Stamp) -> Self {
        Reported {
            stamp: stamp_reported,
            source: stamp(found),
            mode: found.stx_mode,
            uid: found.stx_uid,
            gid: found.stx_gid,
        }
    }

    /// Whether SOURCE, which says `found` now, may grant its rights to others than it did: mode or owner
    /// differ, or it was changed but for its data, as by a new ACL.
    fn rights_differ(&self, found: &Statx) -> bool {
        let now = stamp(found);
        let of_data = now.size != self.source.size || now.mtime != self.source.mtime;
        (self.mode, self.uid, self.gid) != (found.stx_mode, found.stx_uid, found.stx_gid)
            || !of_data && now.ctime != self.source.ctime
    }
}

/// What the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    reported: Option<Reported>,
    /// The kernel was, or is about to be, told to drop what it has. It ignores attributes in answers
    /// that cross such a notice, and may judge by older ones.
    unsure: bool,
    /// Whose open was last sent back because of that, by the process's number, and when.
    sent_back: Option<(u32, Instant)>,
}

impl Known {
    /// The kernel is told what SOURCE says, with this size and these times.
    pub(crate) fn report(&mut self, found: &Statx, stamp: Stamp) {
        self.reported = Some(Reported::new(found, stamp));
    }

    /// Whether these are the size and the times that the kernel was told last.
    pub(crate) fn has(&self, stamp: Stamp) -> bool {
        self.reported
            .is_some_and(|reported| reported.stamp == stamp)
    }

    /// A notice to drop what the kernel has is on its way.
    pub(crate) fn set_unsure(&mut self) {
        self.unsure = true;
    }

    /// Whether the kernel, which opens the file for process `pid` at `now`, has judged by other rights
    /// than those that SOURCE says, or may have.
    pub(crate) fn is_outdated(&mut self, found: &Statx, pid: u32, now: Instant) -> bool {
        let unsure = std::mem::take(&mut self.unsure);
        if self.reported.is_some_and(|told| told.rights_differ(found)) {
            return true;
        }
        let again = self
            .sent_back
            .is_some_and(|(whose, then)| whose == pid && now.duration_since(then) < ONE_OPEN);
        if !unsure || again {
            return false;
        }
        self.sent_back = Some((pid, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::inode::stat::stat;

    #[test]
    fn rights_and_not_data_make_it_outdated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = || stat(file.as_file()).unwrap();
        let mut known = Known::default();
        let (pid, now) = (1, Instant::now());
        assert!(!known.is_outdated(&found(), pid, now), "nothing was told");
        known.report(&found(), stamp(&found()));
        assert!(!known.is_outdated(&found(), pid, now));
        fs::write(file.path(), "data").unwrap();
        assert!(!known.is_outdated(&found(), pid, now));
        known.report(&found(), stamp(&found()));
        fs::set_permissions(file.path(), Permissions::from_mode(0o400)).unwrap();
        for _ in 0..2 {
            assert!(known.is_outdated(&found(), pid, now));
        }
        known.report(&found(), stamp(&found()));
        assert!(!known.is_outdated(&found(), pid, now));
    }

    #[test]
    fn a_notice_under_way_sends_each_open_back_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = stat(file.as_file()).unwrap();
        let mut known = Known::default();
        known.report(&found, stamp(&found));
        let now = Instant::now();
        known.set_unsure();
        assert!(known.is_outdated(&found, 1, now));
        // The second try of the same open, whatever came between.
        known.set_unsure();
        assert!(!known.is_outdated(&found, 1, now));
        known.set_unsure();
        assert!(known.is_outdated(&found, 2, now));
        known.set_unsure();
        assert!(known.is_outdated(&found, 2, now + ONE_OPEN));
        assert!(!known.is_outdated(&found, 3, now), "no notice is under way");
    }
}
