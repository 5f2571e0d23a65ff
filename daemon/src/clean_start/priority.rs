//! Priorities, CPUs and cgroups of a daemon that a command has started for itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use compcache_host::{cgroup, proc, sched};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};

/// ioprio_set(2): for one process.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// The controllers of cgroup v1 whose groups bound what a process may do.
const CONTROLLERS: [&str; 6] = ["memory", "pids", "cpu", "cpuset", "blkio", "freezer"];

/// What throttles, stops or kills the processes of a cgroup: files, and what they begin with if
/// they do not.
const BOUNDS: [(&str, &str); 8] = [
    ("memory.max", "max"),
    ("memory.high", "max"),
    // What no limit was set to is 2^63 rounded down to whole pages.
    ("memory.limit_in_bytes", "92233720368547"),
    ("pids.max", "max"),
    ("cpu.max", "max"),
    ("cpu.cfs_quota_us", "-1"),
    ("cgroup.freeze", "0"),
    ("freezer.state", "THAWED"),
];

/// Processes and threads that are enough for a daemon. systemd bounds each user by some ten thousand.
const ENOUGH_PIDS: u64 = 4096;

/// Gives this process ordinary priorities and all CPUs, and takes it out of its starter's cgroups.
/// Returns a warning for what the system has refused.
pub(super) fn reset() -> Vec<String> {
    let mut warnings = Vec::new();
    let mut attempt = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            warnings.push(format!(
                "cannot reset the {what} inherited from the starter of this daemon: {error}; start it as root"
            ));
        }
    };
    attempt("scheduling policy", sched::set_policy(libc::SCHED_OTHER));
    attempt(
        "nice value",
        setpriority_process(None, 0).map_err(Into::into),
    );
    attempt("I/O priority", reset_io_priority());
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    attempt(
        "choice of CPUs",
        sched_setaffinity(None, &all).map_err(Into::into),
    );
    warnings.extend(leave_cgroups());
    warnings
}

fn reset_io_priority() -> io::Result<()> {
    // SAFETY: the call takes three numbers: this process, and class none.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Moves this process to the root of each hierarchy of cgroups. Returns a warning for each bound of
/// a group that it cannot leave.
fn leave_cgroups() -> Vec<String> {
    let mut warnings = Vec::new();
    for hierarchy in cgroup::hierarchies_of_this_process(&CONTROLLERS) {
        if hierarchy.own == hierarchy.top {
            continue;
        }
        let Err(error) = fs::write(hierarchy.top.join("cgroup.procs"), "0") else {
            continue;
        };
        let bounds = hierarchy.groups().flat_map(bounds).map(|(file, value)| {
            format!(
                "this daemon is bound by {} = {value} of whoever started it, and cannot leave that \
                 cgroup: {error}; start it as root, or elsewhere",
                file.display()
            )
        });
        warnings.extend(bounds);
    }
    warnings
}

/// What bounds the processes of a group.
fn bounds(group: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    BOUNDS.iter().filter_map(|(file, free)| {
        let path = group.join(file);
        let text = proc::read_or_empty(&path);
        let value = String::from_utf8_lossy(&text).trim().to_owned();
        let is_enough = *file == "pids.max" && value.parse().is_ok_and(|n: u64| n >= ENOUGH_PIDS);
        let is_free = value.is_empty() || value.starts_with(free) || is_enough;
        (!is_free).then_some((path, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bounds_a_group_is_named() {
        let group = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("memory.max", "max\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu.max", "50000 100000\n"),
            ("pids.max", "7\n"),
            ("freezer.state", "THAWED\n"),
        ] {
            fs::write(group.path().join(file), text).unwrap();
        }
        let found = || {
            bounds(group.path())
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(), ["7", "50000 100000"]);
        fs::write(group.path().join("pids.max"), "32129\n").unwrap();
        assert_eq!(found(), ["50000 100000"]);
    }
}
