//! Devices on a kernel made of a few functions, by the calls that the kernel makes.

use std::boxed::Box;
use std::collections::HashMap;
use std::ffi::c_void;
use std::format;
use std::string::String;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use compcache_engine::page::{PAGE_SIZE, Page};
use compcache_random::Random;

use crate::device::Device;
use crate::features;
use crate::sys::mock::{
    self, ADMIN, BACKING_FAILS, BACKING_MAP_FAILS, BACKING_OPEN_FAILS, FAIL_IN, FILE_SYSTEM, FILES,
    Gate, LIMITED, LOG, MADE, MockBio, MockDisk, NO_DEFERRALS, TOGETHER, WORKERS,
};
use crate::sys::{EBUSY, EFAULT, EINVAL, EIO, ENOMEM, ENOTTY, EPERM, FileSystem};

#[allow(improper_ctypes)] // the other side is in this crate
unsafe extern "C" {
    fn rz_ioctl(device: *const Device, command: u32, argument: u64, compat: bool) -> i32;
    fn rz_attribute_show(device: *const Device, number: u32, to: *mut u8, room: usize) -> isize;
    fn rz_attribute_store(
        device: *const Device,
        number: u32,
        from: *const u8,
        length: usize,
    ) -> isize;
    fn rz_submit_bio(
        device: *const Device,
        bio: *mut crate::sys::Bio,
        kind: u32,
        sector: u64,
        bytes: u64,
    );
    fn rz_slot_free_notify(device: *const Device, index: u64);
    fn rz_shrinker_count(live: *const c_void) -> u64;
    fn rz_shrinker_scan(live: *const c_void, pages: u64) -> u64;
    fn rz_rw_page(device: *const Device, sector: u64, page: *mut Page, write: bool) -> i32;
}

const SET_DISKSIZE_KB: u32 = 0x4008_7a00;
const SET_DISKSIZE_KB_32: u32 = 0x4004_7a00;
const SET_MEMLIMIT_KB: u32 = 0x4008_7a01;
const SET_BACKING_SWAP: u32 = 0x4080_7a02;
const GET_STATS: u32 = 0x80f4_7a03;
const GET_STATS_252: u32 = 0x80fc_7a03;
const INIT: u32 = 0x7a04;
const RESET: u32 = 0x7a05;

const DISKSIZE: u32 = 0;
const INITSTATE: u32 = 1;
const RESET_ATTRIBUTE: u32 = 2;
const MEM_LIMIT: u32 = 3;
const COMP_ALGORITHM: u32 = 4;
const BACKING_DEV: u32 = 5;
const IO_STAT: u32 = 7;
const BD_STAT: u32 = 8;
const RECOMPRESS_AFTER: u32 = 10;
const STATS: u32 = 14;
const FEATURES: u32 = 15;
const DEBUG_FLIP: u32 = 16;

const READ: u32 = 0;
const WRITE: u32 = 1;
const DISCARD: u32 = 2;

struct Bed(Box<Device>);

impl Bed {
    fn new() -> Self {
        let device = Box::new(Device::new(0).unwrap());
        device.make_disk().unwrap();
        device.show_disk().unwrap();
        Bed(device)
    }

    /// One that is initialised, with a backing swap of 256 pages of its own.
    fn with_backing_swap() -> Self {
        swap_area("/swap", 256);
        let bed = Bed::new();
        assert_eq!(bed.store(BACKING_DEV, "/swap"), 0);
        assert_eq!(bed.store(DISKSIZE, "1M"), 0);
        bed
    }

    fn ioctl(&self, command: u32, argument: u64) -> i32 {
        // SAFETY: the device lives; arguments are 0 or addresses of enough bytes.
        unsafe { rz_ioctl(&*self.0, command, argument, false) }
    }

    fn ioctl_of<T>(&self, command: u32, argument: &mut T) -> i32 {
        self.ioctl(command, std::ptr::from_mut(argument) as u64)
    }

    fn show(&self, number: u32) -> String {
        String::from_utf8(self.show_bytes(number)).unwrap()
    }

    fn show_bytes(&self, number: u32) -> Vec<u8> {
        let mut room = [0; 4096];
        // SAFETY: the device lives, and there is as much room.
        let length = unsafe { rz_attribute_show(&*self.0, number, room.as_mut_ptr(), room.len()) };
        room[..length as usize].to_vec()
    }

    /// 0 or an error number.
    fn store(&self, number: u32, text: &str) -> i32 {
        self.store_bytes(number, text.as_bytes())
    }

    fn store_bytes(&self, number: u32, text: &[u8]) -> i32 {
        // SAFETY: the device lives, and the text is as long.
        let taken = unsafe { rz_attribute_store(&*self.0, number, text.as_ptr(), text.len()) };
        if taken == text.len() as isize {
            0
        } else {
            -taken as i32
        }
    }

    fn submit(&self, kind: u32, first: u64, pages: Vec<Option<Box<Page>>>) -> (i32, Box<MockBio>) {
        let bytes = (pages.len() * PAGE_SIZE) as u64;
        let mut bio = MockBio::new(pages);
        // SAFETY: the device lives, and so does the request, until it has ended.
        unsafe { rz_submit_bio(&*self.0, bio.as_bio(), kind, first * 8, bytes) };
        (bio.wait(), bio)
    }

    fn write(&self, first: u64, pages: &[Page]) -> i32 {
        let pages = pages.iter().map(|page| Some(Box::new(*page))).collect();
        self.submit(WRITE, first, pages).0
    }

    fn read(&self, first: u64, count: usize) -> Result<Vec<Page>, i32> {
        let pages = (0..count)
            .map(|_| Some(Box::new([0xaa; PAGE_SIZE])))
            .collect();
        match self.submit(READ, first, pages) {
            (0, bio) => Ok(bio.pages.into_iter().map(|page| *page.unwrap()).collect()),
            (error, _) => Err(error),
        }
    }

    fn stat(&self, name: &str) -> u64 {
        let stats = self.show(STATS);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse().unwrap()
    }
}

/// Text that compresses to about a third.
fn text(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    for (i, bytes) in page.chunks_mut(16).enumerate() {
        bytes.copy_from_slice(format!("{:08} {:07}", seed, i * 7 % 31).as_bytes());
    }
    page
}

fn noise(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    Random::new(seed).fill(&mut page);
    page
}

fn logged(what: &str) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter()
        .any(|line| line.starts_with("ramzswap0: ") && line.contains(what))
}

/// Makes a swap area of so many pages.
fn swap_area(path: &str, pages: u32) {
    let mut area = vec![[0; PAGE_SIZE]; pages as usize];
    area[0][1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    area[0][1028..1032].copy_from_slice(&(pages - 1).to_ne_bytes());
    area[0][PAGE_SIZE - 10..].copy_from_slice(b"SWAPSPACE2");
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    files
        .get_or_insert_with(HashMap::new)
        .insert(path.into(), area);
}

#[test]
fn the_ioctls_keep_the_order_and_errors_of_2010() {
    let _alone = mock::alone();
    let bed = Bed::new();
    let mut stats = [0_u8; 252];
    assert_eq!(bed.ioctl_of(GET_STATS, &mut stats), -ENOTTY);
    assert_eq!(bed.ioctl(RESET, 0), 0);
    assert_eq!(bed.ioctl(0x7a06, 0), -ENOTTY);
    assert_eq!(bed.ioctl(SET_DISKSIZE_KB, 0), -EFAULT);
    assert_eq!(bed.ioctl_of(SET_DISKSIZE_KB, &mut 39_u64), -EINVAL);
    assert!(logged("give at least 40 kB"));
    assert_eq!(bed.ioctl_of(SET_DISKSIZE_KB, &mut 20_480_u64), 0);
    assert_eq!(bed.ioctl_of(SET_DISKSIZE_KB_32, &mut [8192_u32, 77]), 0);
    assert_eq!(bed.ioctl_of(SET_MEMLIMIT_KB, &mut 4096_u64), 0);
    assert_eq!(bed.ioctl_of(SET_BACKING_SWAP, &mut [b'x'; 128]), -EINVAL);
    assert_eq!(bed.ioctl(INIT, 0), 0);
    assert_eq!(bed.ioctl(INIT, 0), -EBUSY);
    assert_eq!(bed.ioctl_of(SET_DISKSIZE_KB, &mut 1024_u64), -EBUSY);
    assert_eq!(bed.ioctl_of(SET_BACKING_SWAP, &mut [0_u8; 128]), -EBUSY);
    assert_eq!(bed.show(DISKSIZE), "8388608\n");
    assert_eq!(bed.write(3, &[text(1), text(2)]), 0);
    for (command, shift) in [(GET_STATS, 0), (GET_STATS_252, 8)] {
        stats.fill(0xee);
        assert_eq!(bed.ioctl_of(command, &mut stats), 0);
        let number = |at: usize| u64::from_ne_bytes(stats[at..at + 8].try_into().unwrap());
        assert_eq!(
            (number(128), number(136), number(152)),
            (4 << 20, 8 << 20, 3),
            "with the header of the swap area"
        );
        // After five numbers of four bytes.
        assert_eq!(number(128 + 56 + shift + 20), 3 * 4096);
        assert_eq!(
            stats[244 + shift..]
                .iter()
                .filter(|byte| **byte != 0xee)
                .count(),
            0
        );
    }
    ADMIN.store(false, SeqCst);
    assert_eq!(bed.ioctl_of(GET_STATS, &mut stats), 0);
    assert_eq!(bed.ioctl(RESET, 0), -EPERM);
    ADMIN.store(true, SeqCst);
    assert_eq!(bed.ioctl(RESET, 0), 0);
    assert_eq!(bed.ioctl_of(GET_STATS, &mut stats), -ENOTTY);
    assert_eq!(bed.show(INITSTATE), "0\n");
}

#[test]
fn what_any_user_can_have_refused_does_not_fill_the_log() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(bed.ioctl_of(SET_DISKSIZE_KB, &mut 39_u64), -EINVAL);
    assert_eq!(
        LIMITED.load(SeqCst),
        0,
        "what an administrator does is all told"
    );
    assert_eq!(bed.store(DISKSIZE, "1M"), 0);
    ADMIN.store(false, SeqCst);
    assert_eq!(bed.ioctl(RESET, 0), -EPERM);
    assert_eq!(bed.ioctl(GET_STATS, 0), -EFAULT);
    assert_eq!(LIMITED.load(SeqCst), 2);
    assert!(logged("only a user with CAP_SYS_ADMIN"));
}

#[test]
fn attributes_take_what_they_may_and_name_what_they_refuse() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(
        bed.show(COMP_ALGORITHM),
        "lzo lz4 wks:fast [wks:balanced]\n"
    );
    assert_eq!(bed.store(COMP_ALGORITHM, "wks:fast\n"), 0);
    assert_eq!(
        bed.show(COMP_ALGORITHM),
        "lzo lz4 [wks:fast] wks:balanced\n"
    );
    for (number, text, message) in [
        (DISKSIZE, "12k", "disksize of 12288 bytes is too small"),
        (DISKSIZE, "1Q", "'1Q' is not a size"),
        (
            MEM_LIMIT,
            "1",
            "mem_limit of 1 bytes is too small: give at least 64 kB",
        ),
        (
            COMP_ALGORITHM,
            "lzma",
            "unknown codec 'lzma': choose one of lzo, lz4, wks",
        ),
        (
            RECOMPRESS_AFTER,
            "0",
            "recompress_after of 0 s is out of range: give 1 to 86400",
        ),
        (MEM_LIMIT, "+64M", "mem_limit: '+64M' is not a size"),
        (RESET_ATTRIBUTE, "2", "write 1"),
        (
            BACKING_DEV,
            "/none",
            "backing swap /none: cannot open it (error 2)",
        ),
    ] {
        let errno = if number == BACKING_DEV { 2 } else { EINVAL };
        assert_eq!(bed.store(number, text), errno, "{text}");
        assert!(logged(message), "{text}: {:?}", LOG.lock());
    }
    assert_eq!(bed.store(DISKSIZE, "1M"), 0);
    assert_eq!(bed.store(DISKSIZE, "2M"), EBUSY);
    assert_eq!(bed.store(MEM_LIMIT, "512K"), 0);
    assert_eq!(bed.show(MEM_LIMIT), "524288\n");
    assert_eq!(bed.store(MEM_LIMIT, "0"), 0);
    assert_eq!(bed.show(INITSTATE), "1\n");
    assert_eq!(bed.store(RESET_ATTRIBUTE, "1"), 0);
    assert_eq!(bed.show(DISKSIZE), "0\n");
    assert_eq!(
        bed.show(COMP_ALGORITHM),
        "lzo lz4 wks:fast [wks:balanced]\n"
    );
}

#[test]
fn a_disk_that_is_open_is_not_reset() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(bed.store(DISKSIZE, "1M"), 0);
    let disk = bed.0.disk().cast::<MockDisk>();
    // SAFETY: the disk lives as long as the device.
    let disk = unsafe { &*disk };
    disk.openers.store(1, SeqCst);
    assert_eq!(bed.store(RESET_ATTRIBUTE, "1"), EBUSY);
    assert!(logged("it is in use"));
    // The ioctl's caller has it open.
    disk.openers.store(2, SeqCst);
    assert_eq!(bed.ioctl(RESET, 0), -EBUSY);
    disk.openers.store(1, SeqCst);
    assert_eq!(disk.bytes.load(SeqCst), 1 << 20);
    assert_eq!(bed.ioctl(RESET, 0), 0);
    assert_eq!(disk.bytes.load(SeqCst), 0);
}

#[test]
fn pages_come_back_and_requests_that_are_not_whole_pages_are_counted() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(bed.write(0, &[text(0)]), -EIO, "not initialised");
    assert_eq!(bed.store(DISKSIZE, "4M"), 0);
    let pages: Vec<Page> = (0..100)
        .map(|i| {
            if i % 7 == 0 {
                [i as u8; PAGE_SIZE]
            } else if i % 5 == 0 {
                noise(i)
            } else {
                text(i)
            }
        })
        .collect();
    assert_eq!(bed.write(900, &pages), 0);
    assert!(bed.read(900, 100).unwrap() == pages);
    assert_eq!(bed.submit(DISCARD, 910, vec![None; 10]).0, 0);
    // SAFETY: the device lives.
    unsafe { rz_slot_free_notify(&*bed.0, 921) };
    let left = bed.read(900, 100).unwrap();
    for (i, page) in left.iter().enumerate() {
        let freed = (10..20).contains(&i) || i == 21;
        assert!(
            *page == if freed { [0; PAGE_SIZE] } else { pages[i] },
            "{i}"
        );
    }
    assert_eq!(bed.write(1023, &[text(0), text(1)]), -EIO, "past the end");
    let half = bed.submit(WRITE, 5, vec![Some(Box::new(text(5))), None]);
    assert_eq!(half.0, -EIO);
    assert_eq!(bed.show(IO_STAT), "0 0 2 11\n");
    assert_eq!(bed.submit(7, 0, vec![None]).0, -95);
}

/// A device of one frame, which holds fifteen incompressible pages beside the swap header; and more of
/// them than that.
fn a_frame_and_more() -> (Bed, Vec<Page>) {
    let bed = Bed::new();
    assert_eq!(bed.store(MEM_LIMIT, "64K"), 0);
    assert_eq!(bed.store(DISKSIZE, "4M"), 0);
    (bed, (0..24).map(noise).collect())
}

#[test]
fn what_does_not_fit_fails_alone() {
    let _alone = mock::alone();
    let (bed, pages) = a_frame_and_more();
    assert_eq!(bed.write(100, &pages), -EIO);
    assert!(bed.read(100, 15).unwrap() == pages[..15]);
    assert!(bed.read(115, 1).unwrap() == [[0; PAGE_SIZE]]);
    assert_eq!((bed.stat("writes"), bed.stat("failed_writes")), (17, 1));
    // What is freed is room again.
    assert_eq!(bed.submit(DISCARD, 100, vec![None; 24]).0, 0);
    assert_eq!(bed.write(200, &pages[..15]), 0);
    assert!(bed.read(200, 15).unwrap() == pages[..15]);
}

#[test]
fn once_memory_stays_out_after_a_failed_write_the_kernel_is_asked_for_some() {
    let _alone = mock::alone();
    let (bed, pages) = a_frame_and_more();
    mock::MEMORY_IS_OUT.store(true, SeqCst);
    while mock::MEMORY_ASKED.load(SeqCst) == 0 {
        assert_eq!(bed.write(100, &pages), -EIO);
        std::thread::yield_now();
    }
    assert!(logged("ramzswap0: memory has been out for 2 s"));
}

#[test]
fn free_frames_are_given_back_when_the_kernel_wants_memory() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(bed.store(DISKSIZE, "4M"), 0);
    let live = mock::SHRINKER.load(SeqCst);
    // SAFETY: the device was initialised with it, and stays so.
    let count = || unsafe { rz_shrinker_count(live) };
    let pages: Vec<Page> = (0..240).map(noise).collect();
    // The keeper may be faster, and give them back by itself.
    while count() < 32 {
        assert_eq!(bed.write(100, &pages), 0);
        assert_eq!(bed.submit(DISCARD, 110, vec![None; 230]).0, 0);
    }
    let before = bed.stat("pool_bytes");
    // SAFETY: as above.
    let given = unsafe { rz_shrinker_scan(live, 32) };
    assert!((1..=32).contains(&given), "{given}");
    assert_eq!(given % 16, 0, "whole frames");
    assert!(bed.stat("pool_bytes") <= before - given * PAGE_SIZE as u64);
    // SAFETY: as above.
    while unsafe { rz_shrinker_scan(live, 1) } > 0 {}
    assert!(bed.read(100, 10).unwrap() == pages[..10]);
    assert_eq!(bed.write(100, &pages), 0);
    assert!(bed.read(100, 240).unwrap() == pages);
}

/// As kernels with `rw_page` do it.
#[test]
fn a_corrupt_page_that_comes_again_as_a_request_is_counted_once() {
    let _alone = mock::alone();
    let bed = Bed::new();
    assert_eq!(bed.store(DISKSIZE, "1M"), 0);
    let mut page = text(5);
    // SAFETY: the device lives, and the page is nobody else's.
    let mut page_io = |write| unsafe { rz_rw_page(&*bed.0, 5 * 8, &mut page, write) };
    assert_eq!(page_io(true), 0);
    assert_eq!(page_io(false), 0);
    assert_eq!(bed.store(DEBUG_FLIP, "5"), 0);
    assert_eq!(page_io(false), -EIO);
    assert_eq!(bed.read(5, 1), Err(-EIO));
    assert_eq!((bed.stat("reads"), bed.stat("failed_reads")), (2, 1));
    assert_eq!(bed.stat("corrupt"), 1);
    assert_eq!(bed.show(IO_STAT), "1 0 0 0\n");
}

#[test]
fn what_does_not_compress_goes_to_the_backing_swap() {
    let _alone = mock::alone();
    swap_area("/swap", 256);
    let bed = Bed::new();
    assert_eq!(bed.store(BACKING_DEV, "/swap"), 0);
    assert_eq!(bed.show(BACKING_DEV), "/swap\n");
    assert_eq!(bed.store(DISKSIZE, "64M"), 0);
    assert!(logged("disksize 65536 kB is ignored: with a backing swap"));
    assert_eq!(bed.show(DISKSIZE), "1048576\n");
    let pages: Vec<Page> = (1..200)
        .map(|i| if i % 9 == 0 { text(i) } else { noise(i) })
        .collect();
    assert_eq!(bed.write(1, &pages), 0);
    let away = (1..200).filter(|i| i % 9 != 0).count();
    assert_eq!(bed.show(BD_STAT), format!("{away} 0 {away}\n"));
    assert!(bed.read(1, 199).unwrap() == pages);
    assert_eq!(bed.show(BD_STAT), format!("{away} {away} {away}\n"));
    // Overwritten in memory, and by others that go there.
    let other: Vec<Page> = (1..200)
        .map(|i| if i % 2 == 0 { text(i) } else { noise(i + 500) })
        .collect();
    assert_eq!(bed.write(1, &other), 0);
    assert!(bed.read(1, 199).unwrap() == other);
    // What fails is logged, and what is in memory stays.
    BACKING_FAILS.store(true, SeqCst);
    assert_eq!(bed.read(1, 1), Err(-EIO));
    assert_eq!(bed.write(2, &[noise(1)]), -EIO);
    assert!(logged(
        "writing pages 2 to 2 of the backing swap failed (error 5)"
    ));
    BACKING_FAILS.store(false, SeqCst);
    assert!(bed.read(1, 199).unwrap() == other);
    assert_eq!(bed.stat("failed_writes"), 1);
    assert_eq!(bed.stat("failed_reads"), 1);
    // A page that the disk has lost.
    FILES
        .lock()
        .unwrap()
        .as_mut()
        .unwrap()
        .get_mut("/swap")
        .unwrap()[3][77] ^= 4;
    assert_eq!(bed.read(3, 1), Err(-EIO));
    assert!(logged(
        "page 3 is corrupt: the backing swap gave back other bytes"
    ));
    assert_eq!(bed.stat("corrupt"), 1);
}

/// One request has a page in transit and is not in its queue yet, when the thread of those that may wait
/// waits for that page.
#[test]
fn whoever_has_a_page_in_transit_is_not_behind_those_who_wait_for_it() {
    let _alone = mock::alone();
    for no_deferrals in [false, true] {
        let bed = Bed::with_backing_swap();
        let others = 6_u64;
        std::thread::scope(|scope| {
            let bed = &bed;
            Gate::Shut.set();
            // It goes on to a page that others have in transit, too.
            let first = scope.spawn(move || bed.write(5, &[noise(0), text(1), noise(2)]));
            Gate::wait_reached();
            let writers: Vec<_> = (1..=others)
                .map(|i| scope.spawn(move || bed.write(5, &[noise(i)])))
                .collect();
            let readers: Vec<_> = (0..others)
                .map(|_| scope.spawn(|| bed.read(5, 1)))
                .collect();
            WORKERS[1].wait_busy();
            NO_DEFERRALS.store(no_deferrals, SeqCst);
            Gate::Open.set();
            assert_eq!(first.join().unwrap(), 0);
            for writer in writers {
                assert_eq!(writer.join().unwrap(), 0);
            }
            for reader in readers {
                let page = reader.join().unwrap().unwrap()[0];
                let whole = (0..=others).any(|i| page == noise(i)) || page == [0; PAGE_SIZE];
                assert!(whole, "a page of several writes");
            }
        });
        NO_DEFERRALS.store(false, SeqCst);
        assert!(bed.read(6, 2).unwrap() == [text(1), noise(2)]);
        let writes = (bed.stat("writes"), bed.stat("failed_writes"));
        assert_eq!(writes, (others + 4, 0), "with the header of the swap area");
    }
}

#[test]
fn as_many_pages_as_come_are_on_their_way_at_once() {
    let _alone = mock::alone();
    let bed = Bed::with_backing_swap();
    for _ in 0..2 {
        TOGETHER.store(20, SeqCst);
        std::thread::scope(|scope| {
            for i in 0..20 {
                let bed = &bed;
                scope.spawn(move || assert_eq!(bed.write(1 + i, &[noise(i)]), 0));
            }
        });
        TOGETHER.store(20, SeqCst);
        std::thread::scope(|scope| {
            for i in 0..20 {
                let bed = &bed;
                scope.spawn(move || assert_eq!(bed.read(1 + i, 1).unwrap(), [noise(i)]));
            }
        });
    }
}

#[test]
fn a_device_is_synchronous_without_a_backing_swap() {
    let _alone = mock::alone();
    swap_area("/swap", 256);
    // As if the module had been loaded.
    for (set, value, expected) in [
        (false, true, [1, 0]),
        (true, true, [1, 1]),
        (true, false, [0, 0]),
    ] {
        features::choose_synchronous(u32::MAX, set.then_some(value));
        for (backing, expected) in [None, Some("/swap")].into_iter().zip(expected) {
            let bed = Bed::new();
            if let Some(path) = backing {
                assert_eq!(bed.store(BACKING_DEV, path), 0);
            }
            assert_eq!(bed.store(DISKSIZE, "1M"), 0);
            assert_eq!(u32::from(mock::SYNCHRONOUS.load(SeqCst)), expected);
            let features = bed.show(FEATURES);
            assert!(
                features.contains(&format!(" synchronous={expected} ")),
                "{features}"
            );
        }
    }
}

#[test]
fn a_file_whose_blocks_may_move_is_refused_and_its_file_system_named() {
    let _alone = mock::alone();
    swap_area("/files/swap", 64);
    let bed = Bed::new();
    let before = MADE.load(SeqCst);
    let mut found = FileSystem {
        magic: 0xf2f5_2010,
        name: [0; 32],
    };
    found.name[..4].copy_from_slice(b"f2fs");
    *FILE_SYSTEM.lock().unwrap() = found;
    assert_eq!(bed.store(BACKING_DEV, "/files/swap"), EINVAL);
    assert!(logged("backing swap /files/swap: its file system, f2fs, "));
    assert_eq!(bed.show(BACKING_DEV), "none\n");
    assert_eq!(MADE.load(SeqCst), before, "it is closed again");
    *FILE_SYSTEM.lock().unwrap() = FileSystem {
        magic: 0xef53,
        ..found
    };
    assert_eq!(bed.store(BACKING_DEV, "/files/swap"), 0);
}

#[test]
fn errors_of_a_backing_swap_are_told_apart() {
    let _alone = mock::alone();
    swap_area("/swap", 64);
    let bed = Bed::new();
    let (open, map) = (&BACKING_OPEN_FAILS, &BACKING_MAP_FAILS);
    let (erofs, eacces, efbig, enxio, eperm) = (30, 13, 27, 6, 1);
    for (step, code, errno, words) in [
        (open, erofs, erofs, "cannot be written (error 30): mount"),
        (open, eacces, eacces, "cannot be written (error 13): mount"),
        (open, EBUSY, EBUSY, "it is in use"),
        (open, eperm, eperm, "cannot open it (error 1)"),
        (map, ENOMEM, ENOMEM, "no memory for the list of its pieces"),
        (map, efbig, EINVAL, "blocks larger than a page"),
        (map, enxio, EINVAL, "page 0 has no place of its own"),
        (
            map,
            EIO,
            EIO,
            "cannot look up where its pages lie (error 5)",
        ),
    ] {
        step.store(code, SeqCst);
        assert_eq!(bed.store(BACKING_DEV, "/swap"), errno, "{words}");
        assert!(logged(words), "{words}: {:?}", LOG.lock());
        step.store(0, SeqCst);
    }
    assert_eq!(bed.store(BACKING_DEV, "/swap"), 0);
}

#[test]
fn a_backing_swap_that_is_too_short_is_named_with_its_size() {
    let _alone = mock::alone();
    let bed = Bed::new();
    for pages in [0, 9] {
        swap_area("/swap", 9);
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        let area = files.as_mut().and_then(|files| files.get_mut("/swap"));
        area.expect("just made").truncate(pages);
        drop(files);
        // Of an empty file no page has a place.
        BACKING_MAP_FAILS.store(if pages == 0 { 6 } else { 0 }, SeqCst);
        assert_eq!(bed.store(BACKING_DEV, "/swap"), EINVAL);
        let words = format!(
            "backing swap /swap: it has {} bytes, and a swap area has at least 40960",
            pages * PAGE_SIZE
        );
        assert!(logged(&words), "{words}: {:?}", LOG.lock());
    }
    BACKING_MAP_FAILS.store(0, SeqCst);
}

#[test]
fn the_path_of_a_backing_swap_is_kept_byte_for_byte() {
    let _alone = mock::alone();
    let bed = Bed::new();
    let longest = [b"/".as_slice(), &[b'a'; 126]].concat();
    for path in [
        b"/swap".as_slice(),
        b"/ swap",
        b"/swap ",
        b"/swap\t\n",
        b"/in\nside",
        b"/swap[1]",
        b"/\xff\xfe",
        "/\u{e4}\u{2028}".as_bytes(),
        &longest,
    ] {
        swap_area(&String::from_utf8_lossy(path), 64);
        let line = [path, b"\n"].concat();
        assert_eq!(bed.store_bytes(BACKING_DEV, &line), 0, "{path:?}");
        assert_eq!(bed.show_bytes(BACKING_DEV), line);
        // What it shows can be written back.
        assert_eq!(bed.store_bytes(BACKING_DEV, &line), 0, "{path:?}");
        assert_eq!(bed.store(BACKING_DEV, "none"), 0);
        let mut name = [0; 128];
        name[..path.len()].copy_from_slice(path);
        assert_eq!(bed.ioctl_of(SET_BACKING_SWAP, &mut name), 0);
        assert_eq!(bed.show_bytes(BACKING_DEV), line);
        assert_eq!(bed.ioctl(INIT, 0), 0);
        let mut stats = [0_u8; 252];
        assert_eq!(bed.ioctl_of(GET_STATS_252, &mut stats), 0);
        assert_eq!(stats[..128], name);
        assert_eq!(bed.ioctl(RESET, 0), 0);
    }
    for (path, words) in [
        (b"swap\n".as_slice(), "does not begin with '/'"),
        (b"./swap", "does not begin with '/'"),
        (b" /swap", "does not begin with '/'"),
        (b"\n", "is empty"),
        (b"\0/swap", "is empty"),
        (&[longest.as_slice(), b"a"].concat(), "the limit is 127"),
    ] {
        assert_eq!(bed.store_bytes(BACKING_DEV, path), EINVAL, "{path:?}");
        assert!(logged(words), "{path:?}: {:?}", LOG.lock());
        LOG.lock().unwrap().clear();
        assert_eq!(bed.show(BACKING_DEV), "none\n");
    }
    let mut name = [0; 128];
    name[..4].copy_from_slice(b"swap");
    assert_eq!(bed.ioctl_of(SET_BACKING_SWAP, &mut name), -EINVAL);
    assert!(logged("does not begin with '/': give the whole path"));
}

#[test]
fn a_set_up_without_memory_is_an_error_and_leaves_nothing() {
    let _alone = mock::alone();
    swap_area("/swap", 64);
    let bed = Bed::new();
    let before = MADE.load(SeqCst);
    for after in 0.. {
        assert_eq!(bed.store(BACKING_DEV, "/swap"), 0);
        FAIL_IN.store(after, SeqCst);
        let made = bed.store(DISKSIZE, "1M");
        let failed = FAIL_IN.swap(i64::MAX, SeqCst) < 0;
        if made == 0 {
            assert_eq!(bed.store(RESET_ATTRIBUTE, "1"), 0);
            assert_eq!(MADE.load(SeqCst), before);
            // The keeper's frames come later; what fails of them is no error.
            if !failed || after > 40 {
                break;
            }
            continue;
        }
        assert_eq!(made, ENOMEM, "allocation {after}");
        assert_eq!(bed.show(INITSTATE), "0\n");
        assert_eq!(MADE.load(SeqCst), before, "allocation {after}");
    }
    assert!(logged("no memory for"));
    assert_eq!(bed.store(DISKSIZE, "16T"), ENOMEM);
    assert!(logged("more than a quarter of the memory"));
}
