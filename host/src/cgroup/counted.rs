//! What the kernel has counted of a group.

use std::path::Path;

use compcache_engine::PAGE_SIZE;

use super::Version;
use super::names::STATISTICS;
use crate::proc;

/// What a group used so far, with or without a limit. Everything in bytes but the counts; `None` if the kernel does
/// not say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Memory now, page cache included.
    pub memory: Option<u64>,
    /// The most memory at any time.
    pub memory_peak: Option<u64>,
    /// Swap now.
    pub swap: Option<u64>,
    /// The most swap at any time; in version 1 a lower bound of it, made from the peaks of memory
    /// and of memory and swap together.
    pub swap_peak: Option<u64>,
    /// What went to zswap, before compression.
    pub zswapped: Option<u64>,
    /// How often the group was at its limit and nothing could be reclaimed.
    pub ooms: Option<u64>,
    /// Processes killed because the limit, or the machine, left no memory for them.
    pub oom_kills: u64,
}

impl Counted {
    /// Reads it.
    #[must_use]
    pub fn read(group: &Path, version: Version) -> Self {
        let number = |file| proc::number_in(&group.join(file));
        let memory = number(version.memory_file());
        let memory_peak = number(version.memory_peak_file());
        // Version 1 counts both together.
        let swap = |swap: Option<u64>, memory: Option<u64>| match version {
            Version::V1 => Some(swap?.saturating_sub(memory?)),
            Version::V2 => swap,
        };
        let events = proc::read_or_empty(&group.join(version.oom_file()));
        let events = |key| proc::value(&events, key).unwrap_or(0);
        let (zswapped, ooms) = match version {
            Version::V1 => (None, None),
            Version::V2 => {
                let statistics = proc::read_or_empty(&group.join(STATISTICS));
                let pages = proc::value(&statistics, "zswpout");
                let bytes = pages.map(|pages| pages.saturating_mul(PAGE_SIZE as u64));
                (bytes, Some(events("oom")))
            }
        };
        Counted {
            memory,
            memory_peak,
            swap: swap(number(version.swap_file()), memory),
            swap_peak: swap(number(version.swap_peak_file()), memory_peak),
            zswapped,
            ooms,
            oom_kills: events("oom_kill"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Of a group made of plain files.
    fn counted(version: Version, files: &[(&str, &str)]) -> Counted {
        let group = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(group.path().join(name), text).unwrap();
        }
        Counted::read(group.path(), version)
    }

    #[test]
    fn usage_of_version_1() {
        let counted = counted(
            Version::V1,
            &[
                ("memory.usage_in_bytes", "100\n"),
                ("memory.max_usage_in_bytes", "300\n"),
                ("memory.memsw.usage_in_bytes", "150\n"),
                ("memory.memsw.max_usage_in_bytes", "700\n"),
                (
                    "memory.oom_control",
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                ),
            ],
        );
        let expected = Counted {
            memory: Some(100),
            memory_peak: Some(300),
            swap: Some(50),
            swap_peak: Some(400),
            zswapped: None,
            ooms: None,
            oom_kills: 2,
        };
        assert_eq!(counted, expected);
    }

    #[test]
    fn usage_of_version_2_with_zswap() {
        let counted = counted(
            Version::V2,
            &[
                ("memory.swap.peak", "8192\n"),
                ("memory.stat", "anon 1\nzswpin 7\nzswpout 3\nzswpwb 1\n"),
            ],
        );
        assert_eq!(
            (counted.swap_peak, counted.zswapped),
            (Some(8192), Some(12_288))
        );
    }

    #[test]
    fn usage_of_version_2_on_an_old_kernel() {
        let counted = counted(
            Version::V2,
            &[
                ("memory.current", "100\n"),
                ("memory.events", "low 0\noom 3\noom_kill 1\n"),
            ],
        );
        let expected = Counted {
            memory: Some(100),
            ooms: Some(3),
            oom_kills: 1,
            ..Counted::default()
        };
        assert_eq!(counted, expected);
    }
}
