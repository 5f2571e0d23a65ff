//! What the system says of its memory: how much there is to have, what the page cache holds, and
//! whether the kernel drops pages.

use std::fs;
use std::path::{Path, PathBuf};

/// Part of the memory that shall stay available: a 32nd.
const RESERVE_PART: u64 = 32;

/// Most bytes of that.
const RESERVE_MAX: u64 = 1 << 30;

/// Per cent of the last ten seconds in which all programs waited for memory, above which the
/// machine is in need.
const NEED_PERCENT: f64 = 10.0;

/// A look at the system's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Look {
    /// Bytes that are missing to the reserve.
    pub(super) missing: u64,
    /// Pages that the page cache holds, of whichever files.
    pub(super) page_cache: u64,
    /// Pages of files that the kernel has dropped for want of memory, since it started.
    pub(super) stolen: u64,
}

/// Looks at the system's memory, and at that of the cgroup that this process is in.
#[derive(Debug)]
pub(super) struct System {
    proc: PathBuf,
    cgroup: Option<Cgroup>,
}

/// A memory cgroup.
#[derive(Debug)]
enum Cgroup {
    /// Of the first version.
    V1(PathBuf),
    /// Of the second version.
    V2(PathBuf),
}

impl System {
    pub(super) fn new() -> Self {
        System {
            proc: PathBuf::from("/proc"),
            cgroup: Cgroup::of_this_process(),
        }
    }

    /// A system whose /proc is made up, and that has no cgroup.
    #[cfg(test)]
    pub(super) fn at(proc: &Path) -> Self {
        System {
            proc: proc.to_owned(),
            cgroup: None,
        }
    }

    /// Looks.
    pub(super) fn look(&self) -> Look {
        let meminfo = read(&self.proc.join("meminfo"));
        let vmstat = read(&self.proc.join("vmstat"));
        let kib = |key| number(&meminfo, key).unwrap_or(0) << 10;
        let (total, available) = (kib("MemTotal:"), kib("MemAvailable:"));
        let mut look = Look {
            missing: missing(total, available),
            page_cache: (kib("Active(file):") + kib("Inactive(file):")) / 4096,
            stolen: number(&vmstat, "pgsteal_file").unwrap_or(0),
        };
        if let Some((limit, used, files)) = self.cgroup.as_ref().and_then(Cgroup::look)
            && limit < total
        {
            let available = limit.saturating_sub(used.saturating_sub(files));
            look.missing = look.missing.max(missing(limit, available));
            look.page_cache = look.page_cache.min(files / 4096);
        }
        if self.need() > NEED_PERCENT {
            // Something gives, whatever the numbers above say.
            look.missing = look.missing.max(1 << 20);
        }
        look
    }

    /// Per cent of the last ten seconds in which all programs waited for memory; 0 where the kernel
    /// does not say.
    fn need(&self) -> f64 {
        let text = read(&self.proc.join("pressure/memory"));
        let full = text
            .lines()
            .find_map(|line| line.strip_prefix("full avg10="));
        full.and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }
}

fn missing(total: u64, available: u64) -> u64 {
    (total / RESERVE_PART)
        .min(RESERVE_MAX)
        .saturating_sub(available)
}

fn read(path: &Path) -> String {
    // A file that is not there says nothing, on a kernel without it.
    fs::read_to_string(path).unwrap_or_default()
}

/// The number after a key, in a text of lines `KEY NUMBER`.
fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(key)).then(|| words.next()?.parse().ok())?
    })
}

impl Cgroup {
    /// The nearest cgroup of this process that has a limit of memory, or none.
    fn of_this_process() -> Option<Self> {
        let cgroups = read(Path::new("/proc/self/cgroup"));
        let mounts = read(Path::new("/proc/self/mountinfo"));
        let (mount, path) = locate(&cgroups, &mounts)?;
        let make = |path: PathBuf| match mount {
            Mounted::V1(_) => Cgroup::V1(path),
            Mounted::V2(_) => Cgroup::V2(path),
        };
        let (Mounted::V1(root) | Mounted::V2(root)) = &mount;
        let relative = path.trim_start_matches('/');
        let leaf = root.join(relative);
        leaf.ancestors()
            .take_while(|p| p.starts_with(root))
            .map(|p| make(p.to_owned()))
            .find(|cgroup| cgroup.look().is_some_and(|(limit, ..)| limit < 1 << 60))
    }

    /// Limit, bytes in use, and those of them in the page cache.
    fn look(&self) -> Option<(u64, u64, u64)> {
        let value = |path: PathBuf| read(&path).trim().parse::<u64>().ok();
        let (path, limit, used, keys) = match self {
            Cgroup::V1(path) => (
                path,
                value(path.join("memory.limit_in_bytes"))?,
                value(path.join("memory.usage_in_bytes"))?,
                ["total_active_file", "total_inactive_file"],
            ),
            Cgroup::V2(path) => (
                path,
                value(path.join("memory.max"))?,
                value(path.join("memory.current"))?,
                ["active_file", "inactive_file"],
            ),
        };
        let stat = read(&path.join("memory.stat"));
        let files = keys.iter().filter_map(|key| number(&stat, key)).sum();
        Some((limit, used, files))
    }
}

/// Where cgroups of memory are mounted.
#[derive(Debug, PartialEq, Eq)]
enum Mounted {
    V1(PathBuf),
    V2(PathBuf),
}

/// Where this process's memory cgroup is: a mount, and the path below it.
fn locate(cgroups: &str, mounts: &str) -> Option<(Mounted, String)> {
    let v1 = cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|c| c == "memory")
            .then(|| path.to_owned())
    });
    let v2 = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    let mounted = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let mut tail = tail.split(' ');
            let right = tail.next() == Some(kind)
                && (option.is_empty() || tail.nth(1)?.split(',').any(|o| o == option));
            right.then(|| head.split(' ').nth(4).map(PathBuf::from))?
        })
    };
    match (v1, v2) {
        (Some(path), _) => Some((Mounted::V1(mounted("cgroup", "memory")?), path)),
        (None, Some(path)) => Some((Mounted::V2(mounted("cgroup2", "")?), path.to_owned())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let text = "MemTotal:  8 kB\nActive(file):   5 kB\nbroken\n";
        assert_eq!(number(text, "MemTotal:"), Some(8));
        assert_eq!(number(text, "Active"), None);
        assert_eq!(number(text, "broken"), None);
    }

    #[test]
    fn cgroups_of_both_versions_are_located() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let both = "4:memory:/one\n0::/other\n";
        assert_eq!(
            locate(both, mounts),
            Some((Mounted::V1("/sys/fs/cgroup/memory".into()), "/one".into()))
        );
        assert_eq!(
            locate("0::/other\n", mounts),
            Some((
                Mounted::V2("/sys/fs/cgroup/unified".into()),
                "/other".into()
            ))
        );
        assert_eq!(locate("", mounts), None);
    }

    #[test]
    fn the_reserve_is_a_part_of_the_memory() {
        let gib = 1 << 30;
        assert_eq!(missing(32 * gib, gib), 0);
        assert_eq!(missing(32 * gib, gib / 2), gib / 2);
        assert_eq!(missing(1000 * gib, gib / 2), gib / 2);
    }

    #[test]
    fn a_cgroup_that_is_nearly_full_of_programs_misses_memory() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let look = |usage: u64| {
            write("memory.usage_in_bytes", &format!("{usage}\n"));
            let cgroup = Some(Cgroup::V1(dir.path().to_owned()));
            let system = System {
                proc: dir.path().to_owned(),
                cgroup,
            };
            system.look()
        };
        write(
            "meminfo",
            "MemTotal: 10485760 kB\nMemAvailable: 10000000 kB\nActive(file): 400000 kB\n",
        );
        write("vmstat", "pgsteal_anon 7\npgsteal_file 9\n");
        write("memory.limit_in_bytes", "67108864\n");
        write(
            "memory.stat",
            "total_active_file 1048576\ntotal_inactive_file 1048576\n",
        );
        let relaxed = look(32 << 20);
        assert_eq!(
            (relaxed.missing, relaxed.stolen, relaxed.page_cache),
            (0, 9, 512)
        );
        assert_eq!(look(66 << 20).missing, 2 << 20);
        fs::create_dir(dir.path().join("pressure")).unwrap();
        write(
            "pressure/memory",
            "some avg10=50.00 x\nfull avg10=30.00 avg60=1 total=1\n",
        );
        assert_eq!(look(32 << 20).missing, 1 << 20);
    }

    #[test]
    fn this_machine_says_something() {
        let look = System::new().look();
        assert!(look.page_cache > 0);
    }
}
