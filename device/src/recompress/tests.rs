//! The loop under a clock that the test winds.

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use compcache_engine::codec::CodecSpec;
use compcache_engine::cold::{QUIET_PAGES, WINDOW};
use compcache_engine::host::heap::{HeapFrames, HeapSlots};
use compcache_engine::{BackingAccess, PAGE_SIZE, Page, StoreConfig, Worker};
use compcache_host::memory::LinuxHost;
use compcache_random::Random;

use super::*;

type TestStore = Store<PinnedHost, HeapFrames, HeapSlots>;

/// Pages of a test's store that are written; many more are not.
const PAGES: u64 = 2000;

/// CPU time of a half of a step: between one pin of the host and the next.
const HALF_STEP: Duration = Duration::from_micros(400);

/// A host that counts how often it was pinned.
struct PinnedHost {
    host: LinuxHost,
    pins: Arc<AtomicU32>,
}

impl Host for PinnedHost {
    type Codecs = <LinuxHost as Host>::Codecs;
    type Lock = <LinuxHost as Host>::Lock;

    fn now_ns(&self) -> u64 {
        self.host.now_ns()
    }

    fn backoff(&self, attempt: u32) {
        self.host.backoff(attempt);
    }

    fn pin(&self) {
        self.pins.fetch_add(1, Ordering::Relaxed);
    }

    fn wake_keeper(&self) {
        self.host.wake_keeper();
    }

    fn wake_recompressor(&self) {
        self.host.wake_recompressor();
    }
}

/// Time passes only while the loop sleeps, and for each time that the host is pinned.
struct TestClock<'a> {
    slept: Cell<Duration>,
    pins: &'a AtomicU32,
    /// Called before each sleep, with its limit.
    sleeping: RefCell<&'a mut dyn FnMut(Time, Option<Duration>)>,
}

/// What the clock shows.
#[derive(Clone, Copy)]
struct Time {
    now: Duration,
    cpu: Duration,
}

impl Clock for TestClock<'_> {
    fn now(&self) -> Duration {
        self.slept.get() + self.cpu()
    }

    fn cpu(&self) -> Duration {
        HALF_STEP * self.pins.load(Ordering::Relaxed)
    }

    fn sleep(&self, limit: Option<Duration>) {
        assert!(self.now() < seconds(1000), "the test does not end");
        let time = Time {
            now: self.now(),
            cpu: self.cpu(),
        };
        (self.sleeping.borrow_mut())(time, limit);
        // As long as a second if nobody woke it.
        self.slept
            .set(self.slept.get() + limit.unwrap_or(seconds(1)));
    }
}

/// A store, and what its loop shares with its owner.
struct Bed {
    store: TestStore,
    pins: Arc<AtomicU32>,
    shared: Shared,
}

impl Bed {
    fn new(recompress: Recompress) -> Self {
        let shared = Shared::default();
        *shared.policy.lock() = recompress;
        let pins = Arc::<AtomicU32>::default();
        let host = PinnedHost {
            host: LinuxHost::new(Arc::default(), Arc::clone(&shared.wake)),
            pins: Arc::clone(&pins),
        };
        let config = StoreConfig {
            memlimit: None,
            codec: CodecSpec::LZ4,
            arenas: 2,
            reserve_bytes: 1 << 20,
        };
        let slots = HeapSlots::new(1 << 20);
        let frames = HeapFrames::new(400);
        let store = Store::try_new(host, frames, slots, BackingAccess::None, config).unwrap();
        let bed = Bed {
            store,
            pins,
            shared,
        };
        let mut worker = bed.store.try_worker().unwrap();
        for index in 0..PAGES {
            bed.write(&mut worker, index);
        }
        bed
    }

    fn write(&self, worker: &mut Worker, index: u64) {
        self.store.write(worker, index, &[text(index)]).unwrap();
    }

    /// Runs the loop until `sleeping` stops it.
    fn run(&self, mut sleeping: impl FnMut(Time, Option<Duration>)) {
        run(
            &self.store,
            &self.shared,
            &TestClock {
                slept: Cell::default(),
                pins: &self.pins,
                sleeping: RefCell::new(&mut sleeping),
            },
        );
        let mut worker = self.store.try_worker().unwrap();
        for index in 0..PAGES {
            let mut page = [[0; PAGE_SIZE]];
            self.store.read(&mut worker, index, &mut page).unwrap();
            assert!(page[0] == text(index), "page {index}");
        }
    }

    fn recompressed(&self) -> u64 {
        self.store.stats().recompressed
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn zstd(after_seconds: u32, cpu_percent: u32) -> Recompress {
    Recompress {
        after_seconds,
        cpu_percent,
        ..Recompress::default()
    }
}

/// Digits of numbers that do not repeat: lz4 makes less of them than zstd.
fn text(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    let mut random = Random::new(seed);
    for bytes in page.chunks_mut(16) {
        bytes.copy_from_slice(format!("{:016}", random.next_u64() >> 14).as_bytes());
    }
    page
}

#[test]
fn cold_pages_shrink_when_it_is_time_and_then_the_thread_rests() {
    let bed = Bed::new(zstd(8, 100));
    let before = bed.store.stats();
    let mut sleeps = 0;
    bed.run(|time, limit| {
        sleeps += 1;
        let done = bed.recompressed();
        assert!(done == 0 || time.now >= seconds(8));
        assert!(done == PAGES || time.now <= seconds(10) + WINDOW);
        if limit.is_none() {
            bed.shared.wake.stop();
        }
    });
    let after = bed.store.stats();
    assert_eq!((after.recompressed, after.recompress_no_gain), (PAGES, 0));
    assert!(after.compr_bytes < before.compr_bytes / 10 * 8, "{after:?}");
    // Five epochs to get old, of which the last one says that nothing is left; one more to
    // be sure; slices of 100 ms take no pause at a share of 100 per cent.
    assert_eq!(sleeps, 5 + 1 + 1);
    let steps = PAGES.div_ceil(16);
    let expected = HALF_STEP * 2 * u32::try_from(steps).unwrap();
    assert_eq!(
        bed.shared.cpu_ns.load(Ordering::Relaxed),
        u64::try_from(expected.as_nanos()).unwrap()
    );
}

#[test]
fn a_write_ends_the_rest() {
    let bed = Bed::new(zstd(8, 100));
    let mut rests = 0;
    bed.run(|_, limit| {
        if limit.is_some() {
            return;
        }
        assert_eq!(bed.recompressed(), PAGES + rests);
        rests += 1;
        if rests < 3 {
            bed.write(&mut bed.store.try_worker().unwrap(), 7);
        } else {
            bed.shared.wake.stop();
        }
    });
    assert_eq!(rests, 3);
}

/// A write while the thread makes sure that nothing is left is not missed.
#[test]
fn a_write_in_the_last_epoch_is_not_missed() {
    let bed = Bed::new(zstd(8, 100));
    let mut written = false;
    bed.run(|_, limit| {
        if !written && bed.recompressed() == PAGES {
            bed.write(&mut bed.store.try_worker().unwrap(), 7);
            written = true;
        }
        if limit.is_none() {
            bed.shared.wake.stop();
        }
    });
    assert_eq!((written, bed.recompressed()), (true, PAGES + 1));
}

#[test]
fn it_uses_its_share_of_the_cpu_and_no_more() {
    for percent in [1, 10, 50] {
        let bed = Bed::new(zstd(4, percent));
        // When it found the first cold page.
        let mut began = None;
        let mut ended = Duration::ZERO;
        bed.run(|time, limit| {
            if time.cpu > Duration::ZERO {
                let began = *began.get_or_insert(time.now);
                // A step more than its share of a window, at most.
                let most = (time.now - began + WINDOW) * percent / 100 + 2 * HALF_STEP;
                assert!(time.cpu <= most, "{percent}: {:?}", time.cpu);
            }
            if bed.recompressed() < PAGES {
                ended = time.now;
            }
            if limit.is_none() {
                bed.shared.wake.stop();
            }
        });
        let used = Duration::from_nanos(bed.shared.cpu_ns.load(Ordering::Relaxed));
        let time = ended - began.unwrap() + WINDOW;
        assert!(time * percent / 100 <= used * 11 / 10 + WINDOW * percent / 100);
        assert_eq!(bed.recompressed(), PAGES);
    }
}

#[test]
fn a_busy_device_is_left_alone() {
    let bed = Bed::new(zstd(4, 100));
    let mut worker = bed.store.try_worker().unwrap();
    bed.run(|time, limit| {
        match limit {
            Some(limit) if time.now < seconds(100) => {
                assert_eq!(bed.recompressed(), 0);
                // Pages that were never written: nothing gets younger by that.
                let windows = limit.as_millis().div_ceil(WINDOW.as_millis());
                for _ in 0..u64::try_from(windows).unwrap() * (QUIET_PAGES + 1) {
                    let mut page = [[0; PAGE_SIZE]];
                    bed.store.read(&mut worker, 1 << 19, &mut page).unwrap();
                }
            }
            Some(_) => {}
            None => bed.shared.wake.stop(),
        }
    });
    assert_eq!(bed.recompressed(), PAGES);
}

#[test]
fn it_is_switched_off_and_on() {
    let off = Recompress {
        codec: ColdCodec::Off,
        ..zstd(4, 1)
    };
    let bed = Bed::new(off);
    let change = |to: Recompress| *bed.shared.policy.lock() = to;
    let mut changes = 0;
    bed.run(|_, limit| {
        let done = bed.recompressed();
        match (changes, limit) {
            (0, None) => {
                assert_eq!(done, 0);
                change(zstd(4, 1));
            }
            // In the middle.
            (1, Some(_)) if done > 0 => change(off),
            (2, None) => {
                assert!(done < PAGES / 2, "{done}");
                change(zstd(4, 100));
            }
            (3, None) => {
                assert_eq!(done, PAGES);
                bed.shared.wake.stop();
            }
            _ => return,
        }
        changes += 1;
    });
    assert_eq!(changes, 4);
}
