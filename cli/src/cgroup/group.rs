//! One cgroup: made, limited, measured, emptied, removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use compcache_host::cgroup::names::{SWAP_LIMIT, SWAPPINESS};
use compcache_host::cgroup::{Counted, Version};
use compcache_host::proc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};

use super::error::CgroupError;
use super::parent::Parent;

/// What the groups' names begin with; the process id of their maker follows.
const PREFIX: &str = "compcache-run-";

/// How long processes left in a group get to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long a group may take to be emptied and removed in all.
const PATIENCE: Duration = Duration::from_secs(15);

/// A group with a memory limit. Dropping it kills what runs in it and removes it, as far as that
/// goes without waiting long; [`Group::remove`] does so with an answer.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    version: Version,
    removed: bool,
}

impl Group {
    /// Makes `compcache-run-PID`, with PID that of this process, and limits its memory to `limit`
    /// bytes; swap stays unlimited. Removes the empty groups that dead processes left behind.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if the kernel refuses, for lack of rights most of the time.
    pub fn create(parent: &Parent, limit: u64) -> Result<Self, CgroupError> {
        remove_stale(&parent.directory);
        let directory = parent
            .directory
            .join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&directory)
            .map_err(|source| CgroupError::io("cannot create the cgroup", &directory, source))?;
        let group = Group {
            directory,
            version: parent.version,
            removed: false,
        };
        group.set(group.version.limit_file(), &limit.to_string())?;
        match group.version {
            Version::V1 => {
                // A group that never swaps would be killed at its limit.
                if proc::number_in(&group.directory.join(SWAPPINESS)) == Some(0) {
                    group.set(SWAPPINESS, "60")?;
                }
            }
            Version::V2 => {
                // Not there if the kernel has no swap accounting, and then there is no limit.
                if group.directory.join(SWAP_LIMIT).exists() {
                    group.set(SWAP_LIMIT, "max")?;
                }
            }
        }
        Ok(group)
    }

    /// Its directory, for limits of other kinds.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file through which a process enters the group by writing `0`.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if it can't be opened for writing.
    pub fn entrance(&self) -> Result<File, CgroupError> {
        let path = self.directory.join("cgroup.procs");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|source| CgroupError::io("cannot open", &path, source))
    }

    /// What the group used so far.
    #[must_use]
    pub fn usage(&self) -> Counted {
        Counted::read(&self.directory, self.version)
    }

    /// Ends what still runs in the group (SIGTERM, two seconds later SIGKILL), waits for it and
    /// removes the group. Gives the number of processes that had to be ended.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if processes do not end within 15 s or the kernel refuses.
    pub fn remove(mut self) -> Result<usize, CgroupError> {
        self.removed = true;
        self.empty_and_remove(GRACE)
    }

    /// Ends what runs in the group (SIGKILL) but for some processes, and waits for it.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if processes do not end within 15 s.
    pub fn end_others(&self, spared: &[u32]) -> Result<(), CgroupError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut others = self.processes();
            others.retain(|member| !spared.contains(&member.pid));
            if others.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let late = io::ErrorKind::TimedOut.into();
                return Err(CgroupError::io("cannot end all in", &self.directory, late));
            }
            end(&others, Signal::KILL, until);
        }
    }

    fn empty_and_remove(&self, grace: Duration) -> Result<usize, CgroupError> {
        let start = Instant::now();
        let mut ended = 0;
        loop {
            let processes = self.processes();
            ended = ended.max(processes.len());
            let (signal, until) = if start.elapsed() < grace {
                (Signal::TERM, start + grace)
            } else {
                (Signal::KILL, start + PATIENCE)
            };
            end(&processes, signal, until);
            match self.remove_directories() {
                Ok(()) => return Ok(ended),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ended),
                Err(error)
                    if error.raw_os_error() != Some(libc::EBUSY) || start.elapsed() > PATIENCE =>
                {
                    return Err(CgroupError::io(
                        "cannot remove the cgroup",
                        &self.directory,
                        error,
                    ));
                }
                // A process was born meanwhile, or is on its last steps after its pidfd became
                // ready: version 1 has no event for "now empty".
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Processes of the group and of groups below it.
    fn processes(&self) -> Vec<Member> {
        self.directories()
            .into_iter()
            .flat_map(|directory| members(&directory))
            .collect()
    }

    fn remove_directories(&self) -> io::Result<()> {
        self.directories().iter().try_for_each(fs::remove_dir)
    }

    /// The group's directory and those below it, the deepest first.
    fn directories(&self) -> Vec<PathBuf> {
        let mut found = vec![self.directory.clone()];
        let mut at = 0;
        while let Some(directory) = found.get(at) {
            let below: Vec<_> = fs::read_dir(directory)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect();
            found.extend(below);
            at += 1;
        }
        found.reverse();
        found
    }

    fn set(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        let path = self.directory.join(file);
        fs::write(&path, value).map_err(|source| CgroupError::io("cannot set", &path, source))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.removed {
            // There is no caller to report it to; the next start removes an empty group.
            let _ = self.empty_and_remove(Duration::ZERO);
        }
    }
}

/// A process of a group, held by a descriptor that can't come to mean another process.
struct Member {
    pid: u32,
    handle: OwnedFd,
}

/// Opens the processes that are in the group now. One that leaves between being listed and being
/// opened is looked up again, so that a recycled process id is never taken for a member.
fn members(directory: &Path) -> Vec<Member> {
    let list = || -> Vec<u32> {
        proc::lines(&proc::read_or_empty(&directory.join("cgroup.procs")))
            .filter_map(|line| u32::try_from(proc::number(line)?).ok())
            .collect()
    };
    let open = |pid| {
        let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
        Some(Member { pid, handle })
    };
    let mut opened: Vec<_> = list().into_iter().filter_map(open).collect();
    if opened.is_empty() {
        return Vec::new();
    }
    let still = list();
    opened.retain(|member| still.contains(&member.pid));
    opened
}

/// Sends `signal` to all of them and waits until each has ended, or for `until`.
fn end(members: &[Member], signal: Signal, until: Instant) {
    for Member { handle, .. } in members {
        // One that has ended meanwhile needs no signal.
        let _ = pidfd_send_signal(handle, signal);
    }
    for Member { handle, .. } in members {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], timeout.as_ref());
    }
}

/// Removes the groups of makers that are dead. Those with processes in them stay: the kernel
/// refuses to remove them.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|pid| pid.parse().ok())
            .and_then(Pid::from_raw);
        let Some(maker) = maker else { continue };
        let own = maker == rustix::process::getpid();
        if own || test_kill_process(maker) == Err(rustix::io::Errno::SRCH) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_groups_of_the_dead_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = root.path().join(format!("{PREFIX}{}", child.id()));
        let alive = root.path().join(format!("{PREFIX}1"));
        let other = root.path().join("other");
        for directory in [&dead, &alive, &other] {
            fs::create_dir(directory).unwrap();
        }
        remove_stale(root.path());
        assert!(!dead.exists());
        assert!(alive.exists() && other.exists());
    }
}
