//! Keeps idle CPUs quick to wake while requests come one after the other.
//!
//! A page that is read through a userspace device passes through three hands: the loop device's
//! kernel thread, a worker here, and the program that waits. Each wakes the next on a CPU that
//! fell idle a moment ago, and how long that takes is up to the kernel's idle states: from a
//! microsecond to dozens, above all in a virtual machine, where an idle CPU is given back to the
//! host. The kernel lets a process bound it ("PM QoS",
//! `Documentation/power/pm_qos_interface.rst`): as long as `/dev/cpu_dma_latency` is open with a
//! number written to it, no CPU enters an idle state that takes more microseconds to leave. Here
//! that is done while requests come in quick succession, and only then; the kernel undoes it by
//! itself when the process ends.

mod burst;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compcache_host::keeper::Wake;
use compcache_host::{Background, proc};

use crate::settings::CpuLatencySetting;
use burst::Burst;

/// The kernel's interface.
const DEVICE: &str = "/dev/cpu_dma_latency";

/// What drives the idle states.
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// No bound: the kernel's `PM_QOS_CPU_LATENCY_DEFAULT_VALUE`, in microseconds.
const NO_BOUND: i32 = 2_000_000_000;

/// How often it is looked whether requests still come.
const PERIOD: Duration = Duration::from_millis(10);

/// So many requests in a period keep the bound: 1000 a second.
const KEEP: u64 = 10;

/// Bounds the time that idle CPUs take to wake, while requests come quickly.
#[derive(Debug)]
pub struct CpuLatency {
    shared: Arc<Shared>,
    _thread: Background,
}

#[derive(Debug)]
struct Shared {
    /// When this process started to look, for times in nanoseconds.
    start: Instant,
    burst: Burst,
    /// Whether the thread is asked to bound, or does.
    held: AtomicBool,
    wake: Arc<Wake>,
}

impl CpuLatency {
    /// Starts as a setting says; `None` if it says `off`, or if nothing can be gained
    /// since the kernel has no idle states to choose from.
    ///
    /// # Errors
    /// If `/dev/cpu_dma_latency` can't be opened (it needs root) or no thread started.
    pub fn start(setting: CpuLatencySetting) -> io::Result<Option<CpuLatency>> {
        let driver = proc::read_or_empty(Path::new(DRIVER));
        let Some(bound) = setting.bound(driver.trim_ascii()) else {
            return Ok(None);
        };
        let device = File::options().write(true).open(Path::new(DEVICE))?;
        tracing::info!("while requests come quickly, idle CPUs wake within {bound} us");
        CpuLatency::on(device, bound).map(Some)
    }

    /// Writes `bound` to `device` while requests come quickly, and [`NO_BOUND`] afterwards.
    fn on(mut device: File, bound: i32) -> io::Result<CpuLatency> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            burst: Burst::default(),
            held: AtomicBool::new(false),
            wake: Arc::default(),
        });
        let own = Arc::clone(&shared);
        let thread = shared
            .wake
            .spawn("cpu-latency", move |_| own.serve(&mut device, bound))?;
        Ok(CpuLatency {
            shared,
            _thread: thread,
        })
    }

    /// Counts a request. Never waits and never allocates.
    #[inline]
    pub fn request(&self) {
        let shared = &*self.shared;
        let begins = shared.burst.request(|| shared.now_ns());
        if begins
            && !shared.held.load(Ordering::Relaxed)
            && !shared.held.swap(true, Ordering::AcqRel)
        {
            shared.wake.wake();
        }
    }
}

impl Shared {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn serve(&self, device: &mut File, bound: i32) {
        while !self.wake.is_stopped() {
            if self.wake.take() {
                write(device, bound);
                self.wait_for_the_end();
                write(device, NO_BOUND);
                self.held.store(false, Ordering::Release);
            } else {
                std::thread::park();
            }
        }
    }

    /// Waits until requests do not come quickly any more.
    fn wait_for_the_end(&self) {
        let mut before = self.burst.requests();
        while !self.wake.is_stopped() {
            std::thread::park_timeout(PERIOD);
            let now = self.burst.requests();
            if now.wrapping_sub(before) < KEEP {
                return;
            }
            before = now;
        }
    }
}

fn write(device: &mut File, microseconds: i32) {
    if let Err(error) = device.write_all(&microseconds.to_ne_bytes()) {
        tracing::error!("cannot bound the time in which idle CPUs wake: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    use compcache_test_support::wait_until;

    /// Waits until `file` has so many bytes, and reads the last number in it.
    fn last(file: &File, len: u64) -> i32 {
        wait_until("the number", || file.metadata().unwrap().len() >= len);
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, len - 4).unwrap();
        i32::from_ne_bytes(bytes)
    }

    #[test]
    fn a_burst_bounds_and_its_end_releases_again_and_again() {
        let file = tempfile::tempfile().unwrap();
        let latency = CpuLatency::on(file.try_clone().unwrap(), 7).unwrap();
        for round in 0..3 {
            while file.metadata().unwrap().len() < round * 8 + 4 {
                latency.request();
            }
            assert_eq!(last(&file, round * 8 + 4), 7);
            assert_eq!(last(&file, round * 8 + 8), NO_BOUND);
        }
        drop(latency);
        assert_eq!(
            file.metadata().unwrap().len(),
            24,
            "nothing without requests"
        );
    }

    #[test]
    fn it_releases_when_it_is_dropped() {
        let file = tempfile::tempfile().unwrap();
        let latency = CpuLatency::on(file.try_clone().unwrap(), 0).unwrap();
        while file.metadata().unwrap().len() < 4 {
            latency.request();
        }
        drop(latency);
        let written = file.metadata().unwrap().len();
        assert_eq!(last(&file, written), NO_BOUND);
        assert!(written.is_multiple_of(8), "bound and release come in pairs");
    }
}
