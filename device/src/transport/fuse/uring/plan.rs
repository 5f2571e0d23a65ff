//! Which thread serves the queues of which CPUs, and with how much memory.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

use compcache_host::proc;

use super::super::buffer::MAX_IO;
use crate::error::DeviceError;

/// Entries by which a thread serves one queue: so many requests of a CPU are answered at once.
const ENTRIES: usize = 4;

/// The memory of all entries: they are made smaller to keep to it. It is as much as the classic
/// channel takes with two workers; larger requests come in parts.
const BUDGET: usize = 2 << 20;

/// The smallest entry. Swap-out hardly ever makes larger requests.
const MIN_IO: usize = 128 << 10;

/// How the queues are served.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Plan {
    /// Bytes of data of an entry.
    pub(in super::super) max_io: usize,
    pub(in super::super) threads: Vec<Thread>,
}

/// What one thread serves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Thread {
    /// The queue of each of its entries.
    pub(super) entries: Vec<u16>,
}

impl Plan {
    /// The plan for this machine, with at most `workers` threads.
    pub(in super::super) fn of_this_machine(workers: usize) -> Result<Self, DeviceError> {
        let read = |name: &str| {
            proc::read(&Path::new("/sys/devices/system/cpu").join(name))
                .map(|text| parse(&text))
                .map_err(|e| DeviceError::system("see the machine's CPUs", e, "mount /sys"))
        };
        Ok(Plan::new(&read("possible")?, &read("online")?, workers))
    }

    /// The plan for a machine with these CPUs. Queues of CPUs that are not online must have
    /// an entry too: each gets one.
    fn new(possible: &BTreeSet<usize>, online: &BTreeSet<usize>, workers: usize) -> Self {
        let workers = workers.max(1);
        let mut threads: Vec<Thread> = (0..workers).map(|_| Thread::default()).collect();
        // More threads than CPUs: several serve one queue.
        for n in 0..workers.max(online.len()) {
            let (thread, cpu) = (n % workers, n % online.len().max(1));
            if let Some(&cpu) = online.iter().nth(cpu) {
                let qid = u16::try_from(cpu).unwrap_or(u16::MAX);
                threads[thread].entries.extend([qid; ENTRIES]);
            }
        }
        // Queues are numbered from 0 to the number of possible CPUs.
        let offline = (0..possible.len()).filter(|cpu| !online.contains(cpu));
        for (n, cpu) in offline.enumerate() {
            let qid = u16::try_from(cpu).unwrap_or(u16::MAX);
            threads[n % workers].entries.push(qid);
        }
        let entries = threads.iter().map(|t| t.entries.len()).sum::<usize>();
        let mut max_io = MAX_IO;
        while max_io > MIN_IO && max_io * entries > BUDGET {
            max_io /= 2;
        }
        Plan { max_io, threads }
    }
}

/// Reads a list of CPUs as the kernel writes them: `0-3,8,10-11`.
fn parse(list: &[u8]) -> BTreeSet<usize> {
    let number = |text: &[u8]| usize::try_from(proc::number(text)?).ok();
    let range = |part: &[u8]| -> Option<RangeInclusive<usize>> {
        let mut ends = part.splitn(2, |byte| *byte == b'-');
        let first = ends.next()?;
        Some(number(first)?..=number(ends.next().unwrap_or(first))?)
    };
    list.split(|byte| *byte == b',')
        .filter_map(range)
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse(b"0-1\n"), BTreeSet::from([0, 1]));
        assert_eq!(parse(b"0,2-4,7\n"), BTreeSet::from([0, 2, 3, 4, 7]));
        assert_eq!(parse(b"\n"), BTreeSet::new());
    }

    #[test]
    fn every_queue_has_entries() {
        for (possible, online, workers) in [
            ("0-1", "0-1", 2),
            ("0", "0", 2),
            ("0-127", "0-1", 2),
            ("0-7", "0-7", 3),
            ("0-7", "1,3,5", 8),
            ("0-255", "0-255", 8),
            ("0-3", "0-3", 0),
        ] {
            let (possible, online) = (parse(possible.as_bytes()), parse(online.as_bytes()));
            let plan = Plan::new(&possible, &online, workers);
            assert_eq!(plan.threads.len(), workers.max(1));
            let served: BTreeSet<_> = plan
                .threads
                .iter()
                .flat_map(|t| t.entries.iter().map(|&q| usize::from(q)))
                .collect();
            assert_eq!(served, possible, "{plan:?}");
            for thread in &plan.threads {
                assert!(!thread.entries.is_empty(), "{plan:?}");
            }
            assert!((MIN_IO..=MAX_IO).contains(&plan.max_io));
            assert!(plan.max_io.is_power_of_two());
        }
    }

    #[test]
    fn a_small_machine_has_a_thread_a_cpu() {
        let cpus = parse(b"0-1");
        let plan = Plan::new(&cpus, &cpus, 2);
        assert_eq!(plan.max_io, 256 << 10);
        for (n, thread) in plan.threads.iter().enumerate() {
            assert_eq!(thread.entries, [n as u16; ENTRIES]);
        }
    }
}
