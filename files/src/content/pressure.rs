//! The system's memory: how much is available, what the page cache holds, and
//! whether the kernel evicts pages.

#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use compcache_host::cgroup::{Hierarchies, Usage};
use compcache_host::meminfo::Meminfo;
use compcache_host::{pressure, proc};

/// Part of the memory that shall stay available: a 32nd.
const RESERVE_PART: u64 = 32;

/// Most bytes of that.
const RESERVE_MAX: u64 = 1 << 30;

/// Per cent of the last ten seconds in which all programs waited for memory, above which the
/// machine is in need.
const NEED_PERCENT: f64 = 10.0;

/// A sample of the system's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Bytes by which available memory is below the reserve.
    pub(super) missing: u64,
    /// Pages that the page cache holds, of whichever files.
    pub(super) page_cache: u64,
    /// Pages of files that the kernel has reclaimed since it started (`pgsteal_file`).
    pub(super) evicted: u64,
}

/// Samples the system's memory, and at that of the cgroups that this process is in.
#[derive(Debug)]
pub(super) struct System {
    proc: PathBuf,
    cgroups: Hierarchies,
}

impl System {
    pub(super) fn new() -> Self {
        System {
            proc: PathBuf::from("/proc"),
            cgroups: Hierarchies::of_this_process(),
        }
    }

    /// A system whose /proc is made up, and that has no cgroups.
    #[cfg(test)]
    pub(super) fn at(proc: &Path) -> Self {
        System {
            proc: proc.to_owned(),
            cgroups: Hierarchies::default(),
        }
    }

    /// Takes a sample.
    pub(super) fn sample(&self) -> Sample {
        let meminfo = Meminfo::read_in(&self.proc).ok();
        let vmstat = proc::read_or_empty(&self.proc.join("vmstat"));
        let bytes = |key| meminfo.as_ref().and_then(|it| it.bytes(key)).unwrap_or(0);
        let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
        let mut sample = Sample {
            missing: missing(total, available),
            page_cache: (bytes("Active(file)") + bytes("Inactive(file)")) / 4096,
            evicted: proc::value(&vmstat, "pgsteal_file").unwrap_or(0),
        };
        // A limit holds for all that is below it: the nearest need not be the tightest.
        for usage in self.limited_groups().filter(|usage| usage.limit < total) {
            sample.missing = sample.missing.max(missing(usage.limit, usage.room()));
            sample.page_cache = sample.page_cache.min(usage.file / 4096);
        }
        if pressure::full_avg10(&self.proc).is_some_and(|percent| percent > NEED_PERCENT) {
            // Something gives, whatever the numbers above say.
            sample.missing = sample.missing.max(1 << 20);
        }
        sample
    }

    /// This process's cgroups and those above them, as far as they have a limit of memory.
    fn limited_groups(&self) -> impl Iterator<Item = Usage> {
        self.cgroups.iter().flat_map(|hierarchy| {
            let version = hierarchy.version;
            hierarchy
                .groups()
                .filter_map(move |group| Usage::read(group, version))
        })
    }
}

fn missing(total: u64, available: u64) -> u64 {
    (total / RESERVE_PART)
        .min(RESERVE_MAX)
        .saturating_sub(available)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use compcache_host::cgroup::{Hierarchy, Version};

    use super::*;

    #[test]
    fn the_reserve_is_a_part_of_the_memory() {
        let gib = 1 << 30;
        assert_eq!(missing(32 * gib, gib), 0);
        assert_eq!(missing(32 * gib, gib / 2), gib / 2);
        assert_eq!(missing(1000 * gib, gib / 2), gib / 2);
    }

    /// A machine of 10 GiB whose files are in `root`, and a process in the group `own` of it.
    fn machine(root: &Path, own: &str) -> System {
        write(
            root,
            &[
                (
                    "meminfo",
                    "MemTotal: 10485760 kB\nMemAvailable: 10000000 kB\nActive(file): 400000 kB\n",
                ),
                ("vmstat", "pgsteal_anon 7\npgsteal_file 9\n"),
            ],
        );
        let v2 = Hierarchy {
            version: Version::V2,
            top: root.join("cgroup"),
            own: root.join("cgroup").join(own),
        };
        System {
            proc: root.to_owned(),
            cgroups: Hierarchies {
                v1: None,
                v2: Some(v2),
            },
        }
    }

    fn write(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    /// A group with a limit, of whose memory 2 MiB are pages of files.
    fn group(directory: &Path, limit: u64, memory: u64) {
        write(
            directory,
            &[
                ("memory.max", &format!("{limit}\n")),
                ("memory.current", &format!("{memory}\n")),
                (
                    "memory.stat",
                    "active_file 1048576\ninactive_file 1048576\n",
                ),
            ],
        );
    }

    #[test]
    fn a_cgroup_that_is_nearly_full_of_programs_misses_memory() {
        let root = tempfile::tempdir().unwrap();
        let system = machine(root.path(), "own");
        let own = root.path().join("cgroup/own");
        group(&own, 64 << 20, 32 << 20);
        let sample = system.sample();
        assert_eq!(
            (sample.missing, sample.evicted, sample.page_cache),
            (0, 9, 512)
        );
        group(&own, 64 << 20, 66 << 20);
        assert_eq!(system.sample().missing, 2 << 20);
        group(&own, 64 << 20, 32 << 20);
        write(
            &root.path().join("pressure"),
            &[(
                "memory",
                "some avg10=50.00 x\nfull avg10=30.00 avg60=1 total=1\n",
            )],
        );
        assert_eq!(system.sample().missing, 1 << 20);
    }

    #[test]
    fn a_tighter_limit_above_the_nearest_counts() {
        let root = tempfile::tempdir().unwrap();
        let system = machine(root.path(), "slice/own");
        let slice = root.path().join("cgroup/slice");
        group(&slice.join("own"), 1 << 30, 32 << 20);
        group(&slice, 64 << 20, 66 << 20);
        assert_eq!(system.sample().missing, 2 << 20);
    }

    #[test]
    fn the_limit_of_a_container_is_seen_at_its_top() {
        let root = tempfile::tempdir().unwrap();
        let system = machine(root.path(), "");
        group(&root.path().join("cgroup"), 64 << 20, 66 << 20);
        assert_eq!(system.sample().missing, 2 << 20);
    }

    #[test]
    fn this_machine_says_something() {
        let sample = System::new().sample();
        assert!(sample.page_cache > 0);
    }
}
