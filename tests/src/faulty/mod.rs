//! A directory on a disk that fails when it is told to: a FUSE file system that passes everything
//! on to another directory, past the kernel's page cache, until a fault is set.

mod server;

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuser::{BackgroundSession, Config, Errno, MountOption};
use parking_lot::{Condvar, Mutex, MutexGuard};

use compcache_test_support::DEADLINE;
use server::Server;

/// The faulty directory. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct Faulty {
    point: PathBuf,
    behind: PathBuf,
    faults: Arc<Faults>,
    session: Option<BackgroundSession>,
}

/// What goes wrong. Nothing does, to begin with.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bad: Vec<(OsString, Range<u64>)>,
    fail_writes: bool,
    fail_syncs: bool,
    room: Option<u64>,
    longest_read: Option<usize>,
    read_time: Duration,
    held: Option<OsString>,
    hold_writes: bool,
    hold_syncs: bool,
    waiting: u32,
    counts: Counts,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that were answered with data.
    pub reads: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Reads that failed because they were told to.
    pub failed_reads: u64,
    /// Writes that failed because they were told to.
    pub failed_writes: u64,
    /// Calls of fsync and fdatasync, whether they failed or not.
    pub syncs: u64,
}

impl Faulty {
    /// Shows the directory `behind` at `point`; both are there.
    ///
    /// # Panics
    /// If it can't be mounted.
    #[must_use]
    pub fn mount(behind: &Path, point: &Path) -> Faulty {
        let faults = Arc::new(Faults::default());
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("compcache-test-faulty".into()),
            MountOption::DefaultPermissions,
        ];
        config.acl = fuser::SessionACL::All;
        // As many as a mount has may wait while others work.
        config.n_threads = Some(20);
        config.clone_fd = true;
        let server = Server::new(behind, Arc::clone(&faults));
        let session = fuser::Session::new(server, point, &config)
            .and_then(fuser::Session::spawn)
            .expect("the faulty directory");
        Faulty {
            point: point.to_owned(),
            behind: behind.to_owned(),
            faults,
            session: Some(session),
        }
    }

    /// Where it is shown.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The directory behind it, in which nothing fails.
    #[must_use]
    pub fn behind(&self) -> &Path {
        &self.behind
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.faults.release();
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            eprintln!("cannot unmount {}: {error}", self.point.display());
        }
    }
}

impl Faults {
    /// Reads of these bytes of the files with this name fail with EIO.
    pub fn fail_reads(&self, name: &str, bytes: Range<u64>) {
        self.state.lock().bad.push((name.into(), bytes));
    }

    /// Writes fail with EIO, or do so no more.
    pub fn fail_writes(&self, fail: bool) {
        self.state.lock().fail_writes = fail;
    }

    /// fsync fails with EIO, or does so no more.
    pub fn fail_syncs(&self, fail: bool) {
        self.state.lock().fail_syncs = fail;
    }

    /// After so many bytes more, writes fail with ENOSPC; `None` takes all.
    pub fn limit_room(&self, bytes: Option<u64>) {
        self.state.lock().room = bytes;
    }

    /// Reads give at most so many bytes.
    pub fn shorten_reads(&self, bytes: Option<usize>) {
        self.state.lock().longest_read = bytes;
    }

    /// Reads take so long, as on a slow disk.
    pub fn slow_reads(&self, time: Duration) {
        self.state.lock().read_time = time;
    }

    /// Reads of the files with this name are not answered until [`Faults::release`].
    pub fn hold(&self, name: &str) {
        self.state.lock().held = Some(name.into());
    }

    /// Writes are not answered until [`Faults::release`]: who waits for one cannot be killed.
    pub fn hold_writes(&self) {
        self.state.lock().hold_writes = true;
    }

    /// Calls of fsync are not answered until [`Faults::release`].
    pub fn hold_syncs(&self) {
        self.state.lock().hold_syncs = true;
    }

    /// Answers what was held.
    pub fn release(&self) {
        let mut state = self.state.lock();
        (state.held, state.hold_writes, state.hold_syncs) = (None, false, false);
        self.changed.notify_all();
    }

    /// Waits until a request is held.
    ///
    /// # Panics
    /// If none is within [`DEADLINE`].
    pub fn wait_for_held(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            let timed_out = self.changed.wait_for(&mut state, DEADLINE).timed_out();
            assert!(!timed_out, "nobody asks for what is held");
        }
    }

    /// Everything works again.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        *state = State {
            waiting: state.waiting,
            counts: state.counts,
            ..State::default()
        };
        self.changed.notify_all();
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Before a read: how much may be read.
    fn before_read(&self, name: &OsStr, at: u64, size: usize) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let time = state.read_time;
        MutexGuard::unlocked(&mut state, || thread::sleep(time));
        if state.held.as_deref() == Some(name) {
            state.waiting += 1;
            self.changed.notify_all();
            while state.held.as_deref() == Some(name) {
                self.changed.wait(&mut state);
            }
            state.waiting -= 1;
        }
        let end = at + size as u64;
        let bad = state
            .bad
            .iter()
            .any(|(bad, bytes)| bad == name && bytes.start < end && at < bytes.end);
        if bad {
            state.counts.failed_reads += 1;
            return Err(Errno::EIO);
        }
        state.counts.reads += 1;
        Ok(size.min(state.longest_read.unwrap_or(usize::MAX)))
    }

    fn before_write(&self, size: usize) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.hold_writes {
            state.waiting += 1;
            self.changed.notify_all();
            while state.hold_writes {
                self.changed.wait(&mut state);
            }
            state.waiting -= 1;
        }
        let full = state.room.is_some_and(|room| room < size as u64);
        if state.fail_writes || full {
            state.counts.failed_writes += 1;
            return Err(if full { Errno::ENOSPC } else { Errno::EIO });
        }
        if let Some(room) = &mut state.room {
            *room -= size as u64;
        }
        state.counts.writes += 1;
        Ok(())
    }

    fn before_sync(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.hold_syncs {
            state.waiting += 1;
            self.changed.notify_all();
            while state.hold_syncs {
                self.changed.wait(&mut state);
            }
            state.waiting -= 1;
        }
        state.counts.syncs += 1;
        if state.fail_syncs {
            Err(Errno::EIO)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_test_support::needs;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    fn bed() -> Option<(tempfile::TempDir, Faulty)> {
        if !needs::root() || !needs::file("/dev/fuse") {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let [behind, point] = ["behind", "point"].map(|name| directory.path().join(name));
        fs::create_dir(&behind).expect("a directory");
        fs::create_dir(&point).expect("a directory");
        let faulty = Faulty::mount(&behind, &point);
        Some((directory, faulty))
    }

    #[test]
    fn fails_when_told_to() {
        let Some((_directory, faulty)) = bed() else {
            return;
        };
        let path = faulty.point().join("file");
        fs::write(&path, [7; 10_000]).unwrap();
        assert_eq!(fs::read(faulty.behind().join("file")).unwrap(), [7; 10_000]);
        let code = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        faulty.faults().fail_reads("file", 4096..4097);
        file.read_exact_at(&mut [0; 4096], 0).unwrap();
        assert_eq!(
            code(file.read_exact_at(&mut [0; 10], 4090)),
            Some(libc::EIO)
        );
        faulty.faults().fail_writes(true);
        assert_eq!(code(file.write_all_at(&[1], 0)), Some(libc::EIO));
        faulty.faults().fail_syncs(true);
        assert_eq!(code(file.sync_all()), Some(libc::EIO));
        faulty.faults().mend();
        faulty.faults().limit_room(Some(8));
        file.write_all_at(&[1; 8], 0).unwrap();
        assert_eq!(code(file.write_all_at(&[1; 8], 0)), Some(libc::ENOSPC));
        faulty.faults().shorten_reads(Some(100));
        assert_eq!(file.read_at(&mut [0; 4096], 0).unwrap(), 100);
        faulty.faults().hold("file");
        std::thread::scope(|scope| {
            let read = scope.spawn(|| file.read_at(&mut [0; 1], 0).unwrap());
            faulty.faults().wait_for_held();
            assert!(!read.is_finished());
            faulty.faults().release();
        });
    }
}
