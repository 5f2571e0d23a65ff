//! Processor time, and pages swapped, as the kernel counts them.

use std::fs;
use std::path::Path;

use compcache_host::proc;

/// Processor time so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Of the process that serves the area.
    pub(crate) server: u64,
    /// Of all kernel threads: kswapd, the loop device's workers, writeback.
    pub(crate) kernel: u64,
    pub(crate) machine: u64,
}

impl Cpu {
    pub(crate) fn now(server: Option<u32>) -> Cpu {
        Cpu {
            server: server.map_or(0, threads_of),
            kernel: kernel_threads(),
            machine: machine(),
        }
    }

    pub(crate) fn since(self, before: Cpu) -> Cpu {
        Cpu {
            server: self.server.saturating_sub(before.server),
            // Workers come and go, and take their time with them.
            kernel: self.kernel.saturating_sub(before.kernel),
            machine: self.machine.saturating_sub(before.machine),
        }
    }
}

/// The first number of a `schedstat` file (proc(5)): nanoseconds on a processor.
fn on_cpu(path: &str) -> u64 {
    let text = proc::read_or_empty(Path::new(path));
    proc::words(&text)
        .next()
        .and_then(proc::number)
        .unwrap_or(0)
}

/// Nanoseconds on a processor of all threads of a process.
pub(crate) fn threads_of(pid: u32) -> u64 {
    numbers_in(&format!("/proc/{pid}/task"))
        .map(|thread| on_cpu(&format!("/proc/{pid}/task/{thread}/schedstat")))
        .sum()
}

fn kernel_threads() -> u64 {
    numbers_in("/proc")
        .filter(|&pid| parent(pid) == Some(KTHREADD))
        .map(|pid| on_cpu(&format!("/proc/{pid}/schedstat")))
        .sum()
}

/// The process that starts all kernel threads.
const KTHREADD: u64 = 2;

/// The parent: the second field behind the name in `/proc/PID/stat`.
fn parent(pid: u32) -> Option<u64> {
    let stat = proc::read_or_empty(Path::new(&format!("/proc/{pid}/stat")));
    proc::number(proc::stat_fields(&stat)?.nth(1)?)
}

fn numbers_in(directory: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// All that is not idle or waiting, of all processors together in `/proc/stat`.
fn machine() -> u64 {
    let stat = proc::read_or_empty(Path::new("/proc/stat"));
    let fields = proc::after(&stat, "cpu").into_iter().flatten();
    let ticks: Vec<u64> = fields.filter_map(proc::number).collect();
    // user nice system idle iowait irq softirq steal; what is behind is in user and nice too.
    let busy: u64 = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&field| ticks.get(field))
        .sum();
    busy * (1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// Pages swapped so far, in and out, also those that zswap took: from `/proc/vmstat`.
pub(crate) fn pages_swapped() -> u64 {
    let text = proc::read_or_empty(Path::new("/proc/vmstat"));
    ["pswpin", "pswpout", "zswpin", "zswpout"]
        .into_iter()
        .filter_map(|key| proc::value(&text, key))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever its clocks' grain is, work shows in them.
    #[test]
    fn work_takes_time_of_the_process_and_of_the_machine() {
        let own = std::process::id();
        let before = Cpu::now(Some(own));
        // To look is work: some microseconds, and the grain is 10 ms.
        let shows = |_| {
            let passed = Cpu::now(Some(own)).since(before);
            passed.server > 0 && passed.machine > 0
        };
        assert!((0..10_000_000).any(shows));
    }
}
