//! Memory cgroups for the programs of a test, version 1 or 2.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use compcache_host::cgroup::names::SWAPPINESS;
use compcache_host::cgroup::{Counted, Hierarchies, Hierarchy, Usage, Version};
use compcache_host::proc;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};

use compcache_test_support::{DEADLINE, until_or};

/// How the names of all cgroups begin that compcache and its tests make.
const PREFIX: &str = "compcache-";

/// A cgroup with a memory limit. Whatever runs in it is killed when this is dropped.
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
    version: Version,
}

impl Cgroup {
    /// Makes a cgroup whose processes have at most `limit` bytes of memory together, and swap
    /// without limit.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn new(limit: u64) -> Cgroup {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (parent, version) = parent().expect("a memory cgroup");
        let directory = parent.join(format!(
            "{PREFIX}test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        if version == Version::V2 {
            fs::write(parent.join("cgroup.subtree_control"), "+memory")
                .expect("the memory controller");
        }
        fs::create_dir(&directory).expect("a new cgroup");
        let group = Cgroup { directory, version };
        group.set_limit(limit);
        if version == Version::V1 {
            group.set(SWAPPINESS, 100);
        }
        group
    }

    /// Changes the limit.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn set_limit(&self, limit: u64) {
        self.set(self.version.limit_file(), limit);
    }

    fn set(&self, file: &str, value: u64) {
        fs::write(self.directory.join(file), value.to_string())
            .unwrap_or_else(|error| panic!("{file} = {value}: {error}"));
    }

    /// The command that runs `program` in this cgroup; arguments can be added to it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.directory.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Bytes of memory that its processes have in use, without pages of files, which can be
    /// dropped.
    ///
    /// # Panics
    /// If the kernel does not say.
    #[must_use]
    pub fn used(&self) -> u64 {
        let usage = Usage::read(&self.directory, self.version);
        usage.expect("the memory in use").kept()
    }

    /// Bytes of swap that its processes have in use; 0 if the kernel does not account swap.
    #[must_use]
    pub fn swap(&self) -> u64 {
        let counted = Counted::read(&self.directory, self.version);
        counted.swap.unwrap_or(0)
    }

    /// Makes `depth` groups in it, each in the one before, which are removed with what is returned.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn nest(&self, depth: usize) -> Nested {
        let mut at = OwnedFd::from(File::open(&self.directory).expect("the cgroup"));
        let mut groups = Nested {
            deepest: None,
            depth: 0,
        };
        for _ in 0..depth {
            if self.version == Version::V2 {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                let control = openat(&at, "cgroup.subtree_control", flags, Mode::empty());
                rustix::io::write(control.expect("its control"), b"+memory")
                    .expect("the memory controller");
            }
            mkdirat(&at, NESTED, Mode::RWXU).expect("a nested cgroup");
            at = open_in(&at, NESTED).expect("the nested cgroup");
            groups.depth += 1;
            groups.deepest = Some(at.try_clone().expect("a descriptor"));
        }
        groups
    }
}

/// Groups that are nested in one; see [`Cgroup::nest`].
#[derive(Debug)]
pub struct Nested {
    deepest: Option<OwnedFd>,
    depth: usize,
}

/// The name of each nested group. Short, so that some thousand of them are a path.
const NESTED: &str = "g";

fn open_in(at: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

impl Drop for Nested {
    fn drop(&mut self) {
        for _ in 0..self.depth {
            let Some(at) = self.deepest.take() else {
                return;
            };
            let removed = open_in(&at, "..").and_then(|above| {
                unlinkat(&above, NESTED, AtFlags::REMOVEDIR)?;
                Ok(above)
            });
            match removed {
                Ok(above) => self.deepest = Some(above),
                Err(error) => eprintln!("cannot remove a nested cgroup: {error}"),
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = until_or(DEADLINE, &mut || {
            let processes = proc::read_or_empty(&self.directory.join("cgroup.procs"));
            let pids = proc::lines(&processes).filter_map(proc::number);
            for pid in pids.filter_map(|pid| i32::try_from(pid).ok()) {
                // SAFETY: kill(2) touches no memory of ours; the process is one of this cgroup,
                // which only this test fills.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            match fs::remove_dir(&self.directory) {
                Ok(()) => Some(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some(()),
                Err(_) => None,
            }
        });
        if removed.is_none() {
            eprintln!("cannot remove {}", self.directory.display());
        }
    }
}

/// Whether there is a memory cgroup to make groups in.
pub(crate) fn exists() -> bool {
    parent().is_some()
}

/// The groups that compcache or its tests made and left behind: the process whose number is in
/// the group's name has ended, or is this one.
#[must_use]
pub fn left_behind() -> Vec<PathBuf> {
    let Some((top, _)) = parent() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut left = vec![top];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            if is_left_behind(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            }
            left.push(entry.path());
        }
    }
    found
}

fn is_left_behind(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let maker = rest.split('-').find_map(|part| part.parse::<u32>().ok());
    maker
        .is_none_or(|pid| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists())
}

/// The top of the hierarchy with the memory controller.
fn parent() -> Option<(PathBuf, Version)> {
    let found = Hierarchies::of_this_process();
    let has_memory = |unified: &Hierarchy| {
        let controllers = proc::read_or_empty(&unified.top.join("cgroup.controllers"));
        proc::words(&controllers).any(|name| name == b"memory")
    };
    let v2 = found.v2.filter(has_memory);
    v2.or(found.v1)
        .map(|hierarchy| (hierarchy.top, hierarchy.version))
}
