//! The tuner: a thread that, while files are read, looks at the system's memory ten times a
//! second and lets the cache grow or shrink. While they are not, it sleeps until the kernel reports
//! that programs wait for memory. Only if that can't be known does it look once a second, as
//! long as the cache holds pages: on a kernel without such reports, or beside swap devices that
//! share its limit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use compcache_host::Background;
use compcache_host::keeper::Wake;
use compcache_host::pressure::Trigger;

use super::file_content::Shared;
use super::mode::Mode;
use super::pressure::System;
use crate::options::{Limits, MountOptions};

/// Time between two samples.
const PERIOD: Duration = Duration::from_millis(100);

/// Time between two samples while files are not read, if they are needed.
const IDLE_PERIOD: Duration = Duration::from_secs(1);

/// Samples without a read in between, after which the thread sleeps.
const IDLE_SAMPLES: u32 = 20;

/// Samples for which the kernel counts as reclaiming after it evicted pages.
const RECLAIMING_SAMPLES: u32 = 50;

/// The kernel counts as reclaiming if it evicts at least one page for so many accesses.
const EVICTED_SHARE: u64 = 8;

/// Time from a fault until a page that is held is there, without its decompression: what two
/// hand-overs between program and daemon take, in nanoseconds.
const HAND_OVER_NS: u64 = 18_000;

/// Starts the tuner's thread; none if files are in memory only.
///
/// # Errors
/// If the system has no thread left.
pub(super) fn start(
    shared: &Arc<Shared>,
    options: &MountOptions,
) -> io::Result<Option<Background>> {
    if shared.mode == Mode::Memory {
        return Ok(None);
    }
    let mut tuning = Tuning {
        shared: Arc::clone(shared),
        limit: Box::new(limit(options)),
        system: System::new(),
        shares: options
            .budget
            .as_ref()
            .is_some_and(|budget| budget.limit().is_some()),
        triggers: Trigger::all(),
        evicted: None,
        accesses: 0,
        reclaiming: 0,
    };
    let thread = shared.tuner.wake.spawn("files/tune", move |wake| {
        while !wake.is_stopped() {
            tuning.run_until_idle(wake);
            tuning.sleep(wake);
        }
    });
    thread.map(Some)
}

/// How many bytes the mount may take at the moment.
fn limit(options: &MountOptions) -> impl Fn() -> u64 + Send + use<> {
    let Limits { cache, floor, .. } = options.limits;
    let budget = options.budget.clone();
    move || match &budget {
        Some(budget) => budget.share(cache).max(floor),
        None => cache,
    }
}

struct Tuning {
    shared: Arc<Shared>,
    limit: Box<dyn Fn() -> u64 + Send>,
    system: System,
    /// Swap devices share the limit.
    shares: bool,
    /// By which the kernel reports that programs wait for memory.
    triggers: Vec<Trigger>,
    /// At the last sample.
    evicted: Option<u64>,
    accesses: u64,
    /// Samples for which the kernel still counts as reclaiming.
    reclaiming: u32,
}

impl Tuning {
    /// Samples again and again until no requests come.
    fn run_until_idle(&mut self, wake: &Wake) {
        let (mut seen, mut idle) = (0, 0);
        while idle < IDLE_SAMPLES && !wake.is_stopped() {
            let requests = self.shared.tuner.requests.load(Ordering::Relaxed);
            idle = if requests == seen { idle + 1 } else { 0 };
            seen = requests;
            self.sample();
            let until = Instant::now() + PERIOD;
            while let Some(left) = until.checked_duration_since(Instant::now())
                && !wake.is_stopped()
            {
                std::thread::park_timeout(left);
            }
        }
    }

    /// Sleeps until the next request, or until programs wait for memory.
    fn sleep(&mut self, wake: &Wake) {
        let shared = Arc::clone(&self.shared);
        let before = shared.tuner.requests.load(Ordering::Relaxed);
        let woken = |wake: &Wake| {
            wake.is_stopped()
                || shared.tuner.requests.load(Ordering::SeqCst) != before
                || wake.take()
        };
        wake.take();
        shared.tuner.sleeps.store(true, Ordering::SeqCst);
        while !woken(wake) {
            if wake.wait(&self.triggers, self.idle_period()) {
                // One that is gone would wake the thread for ever.
                self.triggers.retain(|trigger| !trigger.is_gone());
                break;
            }
            if !woken(wake) {
                self.sample();
            }
        }
        shared.tuner.sleeps.store(false, Ordering::SeqCst);
        // What the kernel evicted meanwhile was not to make room for these files.
        self.evicted = None;
    }

    /// How long to sleep at most.
    fn idle_period(&self) -> Option<Duration> {
        let blind = self.shares || self.triggers.is_empty();
        let holds = || {
            let stats = self.shared.cache.stats();
            stats.inactive + stats.active > 0
        };
        (blind && holds()).then_some(IDLE_PERIOD)
    }

    fn sample(&mut self) {
        let cache = &self.shared.cache;
        let sample = self.system.sample();
        let accesses = cache.accesses();
        let new = accesses.wrapping_sub(self.accesses);
        let evicted = sample.evicted - self.evicted.unwrap_or(sample.evicted).min(sample.evicted);
        if evicted * EVICTED_SHARE > new && evicted > 0 {
            self.reclaiming = RECLAIMING_SAMPLES;
        } else {
            self.reclaiming = self.reclaiming.saturating_sub(1);
        }
        (self.evicted, self.accesses) = (Some(sample.evicted), accesses);
        cache.set_reclaiming(self.reclaiming > 0);
        let miss = self.shared.tuner.miss_ns.load(Ordering::Relaxed);
        if miss > 0 {
            cache.set_times(miss + HAND_OVER_NS, HAND_OVER_NS);
        }
        cache.tune((self.limit)(), sample.missing, sample.page_cache);
    }
}

#[cfg(test)]
mod tests {
    use compcache_engine::Page;
    use compcache_engine::ccache::{Inserted, Read};
    use compcache_test_support::wait_until;

    use super::*;
    use crate::budget::Budget;
    use crate::content::Contents;
    use crate::content::tests::options;

    /// The tuner of an empty cache, over made-up numbers of the system.
    fn tuning(directory: &std::path::Path) -> (Arc<Contents>, Tuning) {
        let options = options(directory, Mode::Through);
        let contents = Contents::untuned(&options);
        let tuning = Tuning {
            shared: Arc::clone(&contents.shared),
            limit: Box::new(limit(&options)),
            system: System::at(directory),
            shares: false,
            triggers: Vec::new(),
            evicted: None,
            accesses: 0,
            reclaiming: 0,
        };
        (contents, tuning)
    }

    fn system(directory: &std::path::Path, available_kb: u64, evicted: u64) {
        let meminfo = format!("MemTotal: 1048576 kB\nMemAvailable: {available_kb} kB\n");
        std::fs::write(directory.join("meminfo"), meminfo).unwrap();
        std::fs::write(
            directory.join("vmstat"),
            format!("pgsteal_file {evicted}\n"),
        )
        .unwrap();
    }

    #[test]
    fn a_kernel_that_drops_pages_reclaims_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let (contents, mut tuning) = tuning(directory.path());
        let reclaims = || contents.shared.cache.reclaims();
        system(directory.path(), 500_000, 1000);
        tuning.sample();
        assert!(!reclaims(), "what was dropped before is no sign");
        system(directory.path(), 500_000, 1100);
        tuning.sample();
        assert!(reclaims());
        (1..RECLAIMING_SAMPLES).for_each(|_| tuning.sample());
        assert!(reclaims());
        tuning.sample();
        assert!(!reclaims(), "it is over");
    }

    #[test]
    fn a_machine_that_is_short_of_memory_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let (contents, mut tuning) = tuning(directory.path());
        let target = || contents.shared.cache.stats().target;
        system(directory.path(), 500_000, 0);
        tuning.sample();
        assert_eq!(target(), 256 << 10);
        system(directory.path(), 10_000, 0);
        tuning.sample();
        assert_eq!(target(), 128 << 10, "the floor is kept");
    }

    /// A cache that is not accessed gives its memory to swap devices that need it.
    #[test]
    fn an_idle_cache_shrinks_for_swap_devices() {
        const LIMIT: u64 = 1 << 20;
        let directory = tempfile::tempdir().unwrap();
        let budget = Arc::new(Budget::new(Some(LIMIT)));
        let mut options = options(directory.path(), Mode::Through);
        options.budget = Some(Arc::clone(&budget));
        let (cache, floor) = (options.limits.cache, options.limits.floor);
        let contents = Contents::new(&options).unwrap();
        let shared = &contents.shared;
        let file = shared.cache.add_file().unwrap();
        let mut worker = shared.cache.try_worker().unwrap();
        let mut page: Page = [0; 4096];
        for (n, byte) in page.iter_mut().enumerate().step_by(9) {
            *byte = n as u8;
        }
        let added = shared
            .cache
            .insert(&mut worker, file, 0, &page, Read::Demand, || true);
        assert_eq!(added, Inserted::Cached);
        wait_until("all of the cache", || shared.cache.stats().target == cache);
        wait_until("its sleep", || shared.tuner.sleeps.load(Ordering::SeqCst));
        budget.set_swap(LIMIT);
        wait_until("the floor", || shared.cache.stats().target == floor);
        // Other programs that wait for memory may have woken it meanwhile.
        wait_until("its sleep, again", || {
            shared.tuner.sleeps.load(Ordering::SeqCst)
        });
    }
}
