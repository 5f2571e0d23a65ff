//! Notices of memory pressure: the kernel's PSI triggers (Documentation/accounting/psi.rst). A
//! thread can sleep until programs wait for memory, and costs nothing before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::{Hierarchies, Version};
use crate::proc;

/// Microseconds in [`WINDOW`] that some program has to wait for memory: a 20th.
const STALL: u32 = 100_000;

/// Microseconds; a multiple of 2 s may be requested without privileges (Linux 6.5).
const WINDOW: u32 = 2_000_000;

/// A descriptor with an exceptional condition (`POLLPRI`) whenever some program waited for memory
/// for 100 ms within 2 s, at most once in that time.
#[derive(Debug)]
pub struct Trigger(File);

impl Trigger {
    /// A trigger on a file of the kernel's: `/proc/pressure/memory`, or `memory.pressure` of a
    /// cgroup (version 2).
    ///
    /// # Errors
    /// If the kernel has no PSI or does not let this process have a trigger.
    pub fn on(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.write_all(format!("some {STALL} {WINDOW}\0").as_bytes())?;
        Ok(Trigger(file))
    }

    /// Triggers for the whole machine and for the cgroup of this process, as far as the kernel
    /// grants them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let cgroups = Hierarchies::of_this_process();
        let own = cgroups
            .iter()
            .filter(|hierarchy| hierarchy.version == Version::V2)
            .filter_map(|hierarchy| hierarchy.groups().next())
            .map(|group| group.join("memory.pressure"));
        std::iter::once("/proc/pressure/memory".into())
            .chain(own)
            .filter_map(|path| {
                Trigger::on(&path)
                    .inspect_err(|error| {
                        tracing::debug!("no notices of pressure by {}: {error}", path.display());
                    })
                    .ok()
            })
            .collect()
    }

    /// Whether its cgroup is gone. It stays readable then, and says nothing more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::PRI)];
        let at_once = Timespec::default();
        poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Per cent of the last ten seconds in which all programs waited for memory, by the file
/// `pressure/memory` of a /proc; `None` if the kernel does not say.
#[must_use]
pub fn full_avg10(proc: &Path) -> Option<f64> {
    let text = proc::read_or_empty(&proc.join("pressure/memory"));
    let rest = proc::lines(&text).find_map(|line| line.strip_prefix(b"full avg10="))?;
    std::str::from_utf8(proc::words(rest).next()?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pressure_file_is_refused() {
        assert!(Trigger::on(Path::new("/proc/self/status")).is_err());
        assert!(Trigger::on(Path::new("/proc/no/such/file")).is_err());
    }

    #[test]
    fn the_average_is_that_of_all_programs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(full_avg10(dir.path()), None);
        std::fs::create_dir(dir.path().join("pressure")).unwrap();
        for (text, expected) in [
            (
                "some avg10=50.00 x\nfull avg10=30.25 avg60=1 total=1\n",
                Some(30.25),
            ),
            ("some avg10=50.00 x\n", None),
            ("full avg10=\n", None),
        ] {
            std::fs::write(dir.path().join("pressure/memory"), text).unwrap();
            assert_eq!(full_avg10(dir.path()), expected, "{text}");
        }
    }

    /// A pipe of which nobody reads has the condition that the kernel gives the file of a cgroup that
    /// was removed.
    #[test]
    fn a_trigger_whose_cgroup_is_gone_says_so() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let trigger = Trigger(File::from(writer));
        assert!(!trigger.is_gone());
        drop(reader);
        assert!(trigger.is_gone());
    }

    /// If the kernel reports pressure, the administrator can be notified of it.
    #[test]
    fn there_are_triggers_where_the_kernel_has_them() {
        if !compcache_test_support::needs::root() {
            return;
        }
        let reports = Path::new("/proc/pressure/memory").exists();
        assert_eq!(!Trigger::all().is_empty(), reports);
    }
}
