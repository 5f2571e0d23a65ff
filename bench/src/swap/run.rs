//! One area under one load, once.

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use compcache::cgroup::{Group, Parent};
use compcache_engine::PAGE_SIZE;

use super::backend::{Area, Backend};
use super::processes::Processes;
use crate::cpu::{self, Cpu};
use crate::held::Held;
use crate::histogram::Histogram;
use crate::load::memory::Phase;
use crate::machine::MachineLock;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload<'a> {
    pub(crate) processes: usize,
    pub(crate) pages: usize,
    /// A file of pages to fill memory with.
    pub(crate) samples: &'a Path,
    pub(crate) directory: &'a Path,
}

impl Workload<'_> {
    pub(crate) fn bytes(&self) -> u64 {
        (self.pages * PAGE_SIZE) as u64
    }
}

/// A kind of swap under a limit.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// What takes the pages that do not fit.
    pub(crate) backend: Backend,
    /// Bytes that the processes may hold in memory.
    pub(crate) limit: u64,
}

impl Contender {
    /// One under a limit that all have; only if the pages are to fit they must.
    pub(crate) fn new(backend: Backend, load: &Workload<'_>, limit: u64) -> Self {
        let limit = match backend {
            Backend::Ram => load.bytes() * 4 + (256 << 20),
            _ => limit,
        };
        Contender { backend, limit }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backend)
    }
}

pub(crate) struct Run {
    wall_s: Vec<(Phase, f64)>,
    /// Seconds of the processes, the server, kernel threads.
    pub(crate) cpu_s: [f64; 3],
    /// Seconds of everything else on the machine.
    pub(crate) others_cpu_s: f64,
    /// Pages swapped, in and out together.
    pub(crate) pages_swapped: u64,
    /// Faults that read from the area, in the random phases.
    pub(crate) faults: u64,
    touches: Histogram,
    /// Memory at the end of the last `skewed`.
    pub(crate) memory: Held,
    /// Bytes of all memory then, with the processes' own.
    pub(crate) all_bytes: u64,
}

impl Run {
    /// Puts a load on an area of its own, when nobody else uses the machine's swap: has the
    /// processes do the `phases` under the contender's limit.
    pub(crate) fn new(
        contender: &Contender,
        load: &Workload<'_>,
        phases: &[Phase],
        round: usize,
    ) -> Result<Run> {
        let _lock = MachineLock::take()?;
        let bytes = load.bytes();
        // Dropped last, with no page left in it.
        let mut area = Area::new(
            &contender.backend,
            bytes + bytes / 8 + (32 << 20),
            load.directory,
        )?;
        let group = Group::create(&Parent::find()?, contender.limit)?;
        let seed = round as u64;
        let mut processes =
            Processes::start(&group, load.samples, load.processes, load.pages, seed)?;
        let run = Run::measure(&mut area, &group, &mut processes, phases)?;
        // The programs themselves and their tables may be swapped too.
        let most = bytes + bytes / 16 + ((load.processes as u64 * 4) << 20);
        area.check(most)?;
        drop(processes);
        group.remove()?;
        Ok(run)
    }

    fn measure(
        area: &mut Area,
        group: &Group,
        processes: &mut Processes,
        phases: &[Phase],
    ) -> Result<Run> {
        let mut run = Run {
            wall_s: Vec::new(),
            cpu_s: [0.0; 3],
            others_cpu_s: 0.0,
            pages_swapped: 0,
            faults: 0,
            touches: Histogram::new(),
            memory: Held::default(),
            all_bytes: 0,
        };
        let swapped = cpu::pages_swapped();
        for &phase in phases {
            let before = Cpu::now(area.server());
            let start = Instant::now();
            let replies = processes.work(phase).with_context(|| phase.name())?;
            run.wall_s.push((phase, start.elapsed().as_secs_f64()));
            let used = Cpu::now(area.server()).since(before);
            let own: u64 = replies.iter().map(|reply| reply.cpu_ns).sum();
            let parts = [own, used.server, used.kernel];
            for (sum, ns) in run.cpu_s.iter_mut().zip(parts) {
                *sum += ns as f64 / 1e9;
            }
            run.others_cpu_s += used.machine.saturating_sub(parts.iter().sum()) as f64 / 1e9;
            if matches!(phase, Phase::Uniform | Phase::Skewed) {
                for reply in &replies {
                    run.touches.merge(&reply.times);
                    run.faults += reply.major_faults;
                }
            }
            if phase == Phase::Skewed {
                run.memory = area.memory()?;
                let resident = group.usage().memory.context("no usage of the cgroup")?;
                run.all_bytes = run.memory.all + resident;
            }
        }
        run.pages_swapped = cpu::pages_swapped() - swapped;
        Ok(run)
    }

    /// Bytes of memory for each byte of pages that the area holds.
    pub(crate) fn pool_per_byte(&self) -> f64 {
        self.memory.pool as f64 / self.memory.original as f64
    }

    /// Seconds of processor time for each GiB swapped.
    pub(crate) fn cpu_s_per_gib(&self) -> f64 {
        self.total_cpu() / self.swapped_gib()
    }

    /// Seconds of a phase.
    pub(crate) fn wall(&self, phase: Phase) -> f64 {
        let found = self.wall_s.iter().find(|(of, _)| *of == phase);
        found.map_or(f64::NAN, |(_, seconds)| *seconds)
    }

    /// Seconds of all phases.
    pub(crate) fn total_wall(&self) -> f64 {
        self.wall_s.iter().map(|(_, seconds)| seconds).sum()
    }

    /// Seconds of processor time of the processes, the server and kernel threads.
    pub(crate) fn total_cpu(&self) -> f64 {
        self.cpu_s.iter().sum()
    }

    /// GiB swapped, in and out together.
    pub(crate) fn swapped_gib(&self) -> f64 {
        (self.pages_swapped * PAGE_SIZE as u64) as f64 / f64::from(1 << 30)
    }

    /// A quantile of the faults that read from the area, in microseconds. Every touch is timed,
    /// and the slowest of them, as many as there were such faults, are taken for these.
    pub(crate) fn fault_us(&self, quantile: f64) -> f64 {
        self.touches.of_slowest(self.faults, quantile) / 1000.0
    }
}
