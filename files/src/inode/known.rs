//! What the kernel knows of an inode's attributes, by which it judges who may open it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::Statx;

use super::stat::{digest, mix};
use crate::content::Stamp;

/// The kernel tries an open a second time if it is answered with ESTALE, and no third time: how long
/// after the first one a try may be that second one. The kernel has judged again in between.
const ONE_OPEN: Duration = Duration::from_millis(100);

/// What the kernel knows, in few bytes: digests, which are 0 if nothing was reported. There are as many of
/// these as files that the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Of the size and the times that were reported, the halves of a [`digest`].
    stamp: [u32; 2],
    /// Of the mode and the owner.
    rights: u32,
    /// The kernel was, or is about to be, told to drop what it has. It ignores attributes in answers
    /// that cross such a notice, and may judge by older ones.
    unsure: bool,
}

impl Known {
    /// The kernel is told what SOURCE says, with this size and these times.
    pub(crate) fn report(&mut self, found: &Statx, reported: Stamp) {
        self.stamp = halves(digest(reported));
        self.rights = rights(found);
    }

    /// Whether these are the size and the times that the kernel was told last.
    pub(crate) fn has(&self, reported: Stamp) -> bool {
        self.stamp == halves(digest(reported))
    }

    /// A notice to drop what the kernel has is on its way.
    pub(crate) fn set_unsure(&mut self) {
        self.unsure = true;
    }

    /// By what the kernel, which opens the file, has judged who may, if SOURCE says `found`.
    pub(crate) fn judge(&mut self, found: &Statx) -> Judged {
        let unsure = std::mem::take(&mut self.unsure);
        if self.rights != 0 && self.rights != rights(found) {
            Judged::ByOthers
        } else if unsure {
            Judged::PerhapsByOthers
        } else {
            Judged::ByTheirs
        }
    }
}

/// By which mode and owner the kernel has judged who may open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// By those that SOURCE says.
    ByTheirs,
    /// By others, if a notice crossed the answer that had them.
    PerhapsByOthers,
    /// By others.
    ByOthers,
}

/// The opens that were sent back, and may come a second time: programs are to see no ESTALE.
#[derive(Debug, Default)]
pub(crate) struct SentBack(Mutex<Vec<Open>>);

#[derive(Debug)]
struct Open {
    node: u64,
    pid: u32,
    at: Instant,
}

impl SentBack {
    /// Whether to send back the open of `node` by process `pid` at `now`: not if that was done a
    /// moment ago. What the name leads to may have changed since, so that if it is only perhaps that
    /// rights have, an open of any node counts.
    pub(crate) fn should_send(&self, node: u64, pid: u32, judged: Judged, now: Instant) -> bool {
        if judged == Judged::ByTheirs {
            return false;
        }
        let mut opens = self.0.lock();
        opens.retain(|open| now.duration_since(open.at) < ONE_OPEN);
        let any = judged == Judged::PerhapsByOthers;
        let again = |open: &Open| open.pid == pid && (any || open.node == node);
        if opens.iter().any(again) {
            return false;
        }
        opens.push(Open { node, pid, at: now });
        true
    }
}

/// A digest of the mode and the owner that is never 0.
fn rights(found: &Statx) -> u32 {
    let owner = u64::from(found.stx_uid) << 32 | u64::from(found.stx_gid);
    halves(mix(mix(owner) ^ u64::from(found.stx_mode)))[0].max(1)
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::inode::stat::{stamp, stat};

    #[test]
    fn rights_and_not_data_make_it_outdated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = || stat(file.as_file()).unwrap();
        let mut known = Known::default();
        assert_eq!(known.judge(&found()), Judged::ByTheirs, "nothing was told");
        known.report(&found(), stamp(&found()));
        assert!(known.has(stamp(&found())));
        fs::write(file.path(), "data").unwrap();
        assert!(!known.has(stamp(&found())));
        assert_eq!(known.judge(&found()), Judged::ByTheirs);
        fs::set_permissions(file.path(), Permissions::from_mode(0o400)).unwrap();
        for _ in 0..2 {
            assert_eq!(known.judge(&found()), Judged::ByOthers);
        }
        known.report(&found(), stamp(&found()));
        assert_eq!(known.judge(&found()), Judged::ByTheirs);
        known.set_unsure();
        known.report(&found(), stamp(&found()));
        assert_eq!(known.judge(&found()), Judged::PerhapsByOthers);
        assert_eq!(known.judge(&found()), Judged::ByTheirs);
    }

    #[test]
    fn an_open_is_not_sent_back_a_second_time() {
        let (opens, now) = (SentBack::default(), Instant::now());
        let send = |node, pid, judged, at| opens.should_send(node, pid, judged, at);
        assert!(!send(1, 10, Judged::ByTheirs, now));
        assert!(send(1, 10, Judged::PerhapsByOthers, now));
        assert!(!send(1, 10, Judged::PerhapsByOthers, now));
        assert!(!send(1, 10, Judged::ByOthers, now));
        // What has the name now is another file.
        assert!(!send(2, 10, Judged::PerhapsByOthers, now));
        assert!(send(2, 10, Judged::ByOthers, now));
        assert!(send(1, 11, Judged::PerhapsByOthers, now));
        assert!(send(1, 10, Judged::ByOthers, now + ONE_OPEN));
        assert_eq!(opens.0.lock().len(), 1, "what is over is not kept");
    }
}
