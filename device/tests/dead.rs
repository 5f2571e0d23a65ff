//! Dead slots: what the kernel no longer needs of a swap area is freed at once, and nothing
//! else. These tests swap for real. If the kernel does not support tracing, they say that
//! this part is skipped, and check the rest.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Fixture, PAGE, fixture, noise_page, test_over_each_channel, wait_until};
use compcache_device::freed::Freeing;
use compcache_device::settings::Channel;
use compcache_device::{Env, ParamsUpdate, SwapDevice as _, swap, swapoff};
use compcache_random::Random;

const MIB: usize = 1 << 20;

test_over_each_channel! {
    every_second_page_is_freed_without_swapoff,
    pages_that_come_and_go_keep_their_content,
    a_swap_file_on_the_disk_is_left_alone,
}

/// Swap is the whole machine's: one test at a time, of this program and others.
fn alone() -> (MutexGuard<'static, ()>, File) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = File::options()
        .create(true)
        .append(true)
        .open("/tmp/compcache-tests.lock")
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    (one, lock)
}

/// Whether dead slots are freed at once here.
fn at_once(fixture: &Fixture) -> bool {
    let at_once = fixture.device.status().dead_slots.unwrap() == Freeing::AtOnce;
    compcache_test_support::needs::traced_swap(at_once)
}

/// Memory of this process, page by page.
struct Memory {
    base: *mut u8,
    pages: usize,
}

impl Memory {
    fn new(pages: usize) -> Self {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
        let len = pages * PAGE;
        // SAFETY: a new mapping touches no other memory; `madvise` is only advice.
        let base = unsafe {
            let prot = ProtFlags::READ | ProtFlags::WRITE;
            let base = mmap_anonymous(std::ptr::null_mut(), len, prot, MapFlags::PRIVATE).unwrap();
            let _ = madvise(base, len, Advice::LinuxNoHugepage);
            base
        };
        Memory {
            base: base.cast(),
            pages,
        }
    }

    fn page(&mut self, index: usize) -> &mut [u8; PAGE] {
        assert!(index < self.pages);
        // SAFETY: a page of a mapping that is ours and that nobody else uses.
        unsafe { &mut *self.base.add(index * PAGE).cast() }
    }

    /// Fills a page with what is told apart by `seed`, and compresses to a half.
    fn fill(&mut self, index: usize, seed: u64) {
        content(seed, self.page(index));
    }

    fn check(&mut self, index: usize, seed: u64) {
        let mut expected = [0; PAGE];
        content(seed, &mut expected);
        assert!(*self.page(index) == expected, "page {index}, seed {seed}");
    }

    fn swap_out(&self, first: usize, count: usize) {
        self.advise(first, count, libc::MADV_PAGEOUT);
    }

    fn forget(&self, index: usize) {
        self.advise(index, 1, libc::MADV_DONTNEED);
    }

    fn advise(&self, first: usize, count: usize, advice: libc::c_int) {
        assert!(first + count <= self.pages);
        // SAFETY: pages of a mapping that is ours, to which nothing refers at the moment.
        let done =
            unsafe { libc::madvise(self.base.add(first * PAGE).cast(), count * PAGE, advice) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`.
        unsafe { rustix::mm::munmap(self.base.cast(), self.pages * PAGE) }.unwrap();
    }
}

fn content(seed: u64, page: &mut [u8; PAGE]) {
    page.fill(0);
    Random::new(seed).fill(&mut page[..PAGE / 2]);
}

fn stored(fixture: &Fixture) -> usize {
    fixture.device.status().stats.store.pages_stored as usize
}

fn every_second_page_is_freed_without_swapoff(channel: Channel) {
    let _alone = alone();
    let fixture = fixture(channel);
    fixture.init(64 * MIB);
    let at_once = at_once(&fixture);
    fixture.device.swap_on(None).unwrap();
    let pages = 4096;
    let mut memory = Memory::new(pages);
    (0..pages).for_each(|page| memory.fill(page, page as u64));
    wait_until("the pages are swapped out", || {
        memory.swap_out(0, pages);
        stored(&fixture) > pages * 9 / 10
    });
    (0..pages).step_by(2).for_each(|page| memory.forget(page));
    if at_once {
        // Every cluster still has pages that are in use: no discard can have come.
        wait_until("the dead pages are freed", || {
            stored(&fixture) < pages * 6 / 10
        });
        let stats = fixture.device.status().stats.store;
        assert!(stats.notify_free as usize > pages * 4 / 10, "{stats:?}");
        assert!(stored(&fixture) > pages * 4 / 10, "the others stay");
    }
    for page in (1..pages).step_by(2) {
        memory.check(page, page as u64);
    }
    fixture.device.swap_off(&swapoff::checked).unwrap();
    for page in (1..pages).step_by(2) {
        memory.check(page, page as u64);
    }
    drop(memory);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

/// Slots are freed and given out again all the time, by several threads at once, on a disk that
/// has few more of them than are needed.
fn pages_that_come_and_go_keep_their_content(channel: Channel) {
    let _alone = alone();
    let fixture = fixture(channel);
    fixture.init(4 * MIB);
    let at_once = at_once(&fixture);
    fixture.device.swap_on(None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                let pages = 250;
                let mut memory = Memory::new(pages);
                let mut seeds = vec![None; pages];
                let mut random = Random::new(thread + 77);
                for round in 0..150 {
                    for _ in 0..100 {
                        let page = random.index(pages);
                        match random.index(4) {
                            0 => {
                                memory.forget(page);
                                seeds[page] = None;
                            }
                            1 => {
                                if let Some(seed) = seeds[page] {
                                    memory.check(page, seed);
                                }
                            }
                            _ => {
                                let seed = thread << 32 | round << 16 | random.next_u64() & 0xffff;
                                memory.fill(page, seed);
                                seeds[page] = Some(seed);
                            }
                        }
                    }
                    let first = random.index(pages / 2);
                    memory.swap_out(first, pages / 2);
                }
                memory.swap_out(0, pages);
                for (page, seed) in seeds.iter().enumerate() {
                    match seed {
                        Some(seed) => memory.check(page, *seed),
                        None => assert!(*memory.page(page) == [0; PAGE], "page {page}"),
                    }
                }
            });
        }
    });
    let stats = fixture.device.status().stats.store;
    assert_eq!((stats.corrupt, stats.failed_reads), (0, 0));
    if at_once {
        // The kernel keeps some slots for pages that are in memory too.
        wait_until("no more is stored than the kernel uses", || {
            let used = fixture.device.status().swap.unwrap().used_bytes as usize;
            stored(&fixture) <= used / PAGE + 1
        });
    }
    fixture.device.swap_off(&swapoff::checked).unwrap();
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

/// A swap file on a file system on the disk: its slots are not the disk's pages.
fn a_swap_file_on_the_disk_is_left_alone(channel: Channel) {
    if !compcache_test_support::needs::programs(&["mkfs.ext4"]) {
        return;
    }
    let _alone = alone();
    let fixture = fixture(channel);
    fixture.init(64 * MIB);
    let _ = at_once(&fixture);
    let node = fixture.block_device();
    let made = Command::new("mkfs.ext4").arg("-qF").arg(&node).status();
    assert!(made.unwrap().success());
    let at = fixture.dir.path().join("fs");
    std::fs::create_dir(&at).unwrap();
    rustix::mount::mount(&node, &at, "ext4", rustix::mount::MountFlags::empty(), None).unwrap();
    let noise = noise_page(&mut Random::new(5));
    let witness = at.join("witness");
    let file = File::create(&witness).unwrap();
    for page in 0..4096 {
        file.write_all_at(&noise, page * PAGE as u64).unwrap();
    }
    file.sync_all().unwrap();
    let pages = 4096;
    let path = at.join("swap");
    common::make_swap_file(&path, pages as u32 + 1);
    swap::on(&path, Some(swap::priority_above_all().unwrap()), false).unwrap();
    let freed = || fixture.device.status().stats.store.notify_free;
    let before = freed();
    let mut memory = Memory::new(pages);
    (0..pages).for_each(|page| memory.fill(page, page as u64));
    wait_until("the pages are swapped out", || {
        memory.swap_out(0, pages);
        swap::find(&path)
            .unwrap()
            .is_some_and(|area| area.used_bytes as usize > pages * PAGE * 9 / 10)
    });
    (0..pages).step_by(2).for_each(|page| memory.forget(page));
    for page in (1..pages).step_by(2) {
        memory.check(page, page as u64);
    }
    drop(memory);
    swap::off(&path).unwrap();
    assert_eq!(freed(), before, "nothing of the disk was freed");
    drop(file);
    rustix::mount::unmount(&at, rustix::mount::UnmountFlags::empty()).unwrap();
    rustix::mount::mount(&node, &at, "ext4", rustix::mount::MountFlags::empty(), None).unwrap();
    let file = File::open(&witness).unwrap();
    for page in 0..4096 {
        let mut back = [0; PAGE];
        file.read_exact_at(&mut back, page * PAGE as u64).unwrap();
        assert!(back == noise, "page {page} of the file");
    }
    drop(file);
    rustix::mount::unmount(&at, rustix::mount::UnmountFlags::empty()).unwrap();
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}

/// Who does not want it does not get it.
#[test]
fn it_can_be_switched_off() {
    if !common::can_attach() {
        return;
    }
    let dir = common::tempdir();
    std::fs::create_dir(dir.path().join("dev")).unwrap();
    let env = Env {
        dead_slots: compcache_device::settings::DeadSlots::Clusters,
        ..Env::new(dir.path().join("run"), dir.path().join("dev"))
    };
    let device = compcache_device::Device::new(0, std::sync::Arc::new(env));
    assert_eq!(device.status().dead_slots, None);
    let update = ParamsUpdate {
        disksize: Some(MIB as u64),
        ..Default::default()
    };
    device.configure(&update).unwrap();
    device.init().unwrap();
    assert_eq!(device.status().dead_slots, Some(Freeing::ByCluster));
    device.reset().unwrap();
}
