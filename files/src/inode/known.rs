//! What the kernel knows of an inode's attributes, by which it judges who may open it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::Statx;

use super::stat::{digest, mix, stamp};
use crate::content::Stamp;

/// The kernel tries an open a second time if it is answered with ESTALE, and no third time: how long
/// after the first one a try may be that second one. The kernel has judged anew in between.
const ONE_OPEN: Duration = Duration::from_millis(100);

/// What the kernel knows, in few bytes: digests, which are 0 if nothing was reported. There are as many of
/// these as files that the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Of the size and the times that were reported, the halves of a [`digest`].
    stamp: [u32; 2],
    /// Of the mode and the owner.
    rights: u32,
    /// Of SOURCE's time of change.
    change: u32,
    /// Of SOURCE's size and time of modification.
    data: u16,
    /// The kernel was, or is about to be, told to drop what it has. It ignores attributes in answers
    /// that cross such a notice, and may judge by older ones.
    unsure: bool,
}

impl Known {
    /// The kernel is told what SOURCE says, with this size and these times.
    pub(crate) fn report(&mut self, found: &Statx, reported: Stamp) {
        *self = Known {
            unsure: self.unsure,
            ..Known::of(found, reported)
        };
    }

    fn of(found: &Statx, reported: Stamp) -> Self {
        let source = stamp(found);
        let owner = u64::from(found.stx_uid) << 32 | u64::from(found.stx_gid);
        let data = mix(source.size) ^ source.mtime as u64;
        Known {
            stamp: halves(digest(reported)),
            rights: halves(mix(mix(owner) ^ u64::from(found.stx_mode)))[0].max(1),
            change: halves(mix(source.ctime as u64))[0],
            data: mix(data) as u16,
            unsure: false,
        }
    }

    /// Whether these are the size and the times that the kernel was told last.
    pub(crate) fn has(&self, reported: Stamp) -> bool {
        self.stamp == halves(digest(reported))
    }

    /// A notice to drop what the kernel has is on its way.
    pub(crate) fn set_unsure(&mut self) {
        self.unsure = true;
    }

    /// Whether the kernel, which opens the file, has judged by other rights than those that SOURCE says,
    /// or may have.
    pub(crate) fn is_outdated(&mut self, found: &Statx) -> bool {
        let unsure = std::mem::take(&mut self.unsure);
        let now = Known::of(found, stamp(found));
        // SOURCE was changed, but for its data: by a new ACL, for example.
        let but_for_data = now.change != self.change && now.data == self.data;
        unsure || self.rights != 0 && (now.rights != self.rights || but_for_data)
    }
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
    /// Whether to send back the open of `node` by process `pid` at `now`: not if this was done a
    /// moment ago.
    pub(crate) fn should_send(&self, node: u64, pid: u32, now: Instant) -> bool {
        let mut opens = self.0.lock();
        opens.retain(|open| now.duration_since(open.at) < ONE_OPEN);
        let again = opens
            .iter()
            .any(|open| (open.node, open.pid) == (node, pid));
        if !again {
            opens.push(Open { node, pid, at: now });
        }
        !again
    }
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
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
        assert!(!known.is_outdated(&found()), "nothing was told");
        known.report(&found(), stamp(&found()));
        assert!(known.has(stamp(&found())));
        assert!(!known.is_outdated(&found()));
        fs::write(file.path(), "data").unwrap();
        assert!(!known.has(stamp(&found())));
        assert!(!known.is_outdated(&found()));
        known.report(&found(), stamp(&found()));
        fs::set_permissions(file.path(), Permissions::from_mode(0o400)).unwrap();
        for _ in 0..2 {
            assert!(known.is_outdated(&found()));
        }
        known.report(&found(), stamp(&found()));
        assert!(!known.is_outdated(&found()));
        known.set_unsure();
        known.report(&found(), stamp(&found()));
        assert!(known.is_outdated(&found()));
        assert!(!known.is_outdated(&found()));
    }

    #[test]
    fn an_open_is_not_sent_back_a_second_time() {
        let (opens, now) = (SentBack::default(), Instant::now());
        assert!(opens.should_send(1, 10, now));
        assert!(!opens.should_send(1, 10, now));
        assert!(opens.should_send(1, 11, now) && opens.should_send(2, 10, now));
        assert!(opens.should_send(1, 10, now + ONE_OPEN));
        assert_eq!(opens.0.lock().len(), 1, "what is over is not kept");
    }
}
