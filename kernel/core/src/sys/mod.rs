//! The kernel's side of the border (`kernel/shim/shim.h`), one declaration a function.
//!
//! All of them take pointers that came from the kernel's side, or memory of the lengths given; all
//! but those marked there may be called in any context that the core runs in.

use core::ffi::{c_char, c_int, c_void};

/// Opaque things of the kernel's side.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug)]
        pub(crate) struct $name {
            _opaque: [u8; 0],
        }
    )*};
}

opaque! {
    /// A gendisk with its control mutex.
    Disk;
    /// A request of the block layer.
    Bio;
    /// A kernel thread with its place to sleep.
    Thread;
    /// A registered shrinker.
    Shrinker;
    /// An open backing swap.
    Backing;
}

/// Where the next page of a request lies.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BioIter {
    _opaque: [u64; 3],
}

/// Neighbouring pages that are to be moved to or from a backing swap.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Run {
    /// The request that has them.
    pub(crate) request: *mut Bio,
    /// Where the first of them is in it.
    pub(crate) from: *const BioIter,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// Words of memory that the kernel's side keeps for a request that was deferred (`worker.c`).
pub(crate) const WORK_MEMORY: usize = 152;

/// What becomes next of a request that was deferred.
pub(crate) const WORK_ENDED: u32 = 0;
pub(crate) const WORK_WAITS: u32 = 1;
pub(crate) const WORK_MOVES: u32 = 2;

/// Where a file lies; all zeros for a block device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) magic: u64,
    /// Its kind, with a 0 at its end.
    pub(crate) name: [u8; 32],
}

/// The module parameters.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) num_devices: u64,
    pub(crate) disksize_kb: u64,
    pub(crate) memlimit_kb: u64,
    pub(crate) backing_swap: *const c_char,
    pub(crate) codec: *const c_char,
    pub(crate) synchronous: u32,
    pub(crate) simd: u32,
    pub(crate) debug: u32,
    pub(crate) set: u32,
}

pub(crate) const SET_DISKSIZE: u32 = 1;
pub(crate) const SET_MEMLIMIT: u32 = 2;
pub(crate) const SET_BACKING: u32 = 4;
pub(crate) const SET_SYNCHRONOUS: u32 = 8;

pub(crate) const HAS_FREE_NOTIFY: u32 = 1;
pub(crate) const HAS_SYNCHRONOUS: u32 = 2;
pub(crate) const HAS_ZSTD: u32 = 4;
pub(crate) const HAS_AVX2: u32 = 8;
pub(crate) const HAS_CRC32: u32 = 16;

pub(crate) const EIO: i32 = 5;
pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ENOTTY: i32 = 25;
pub(crate) const EOPNOTSUPP: i32 = 95;
pub(crate) const ETXTBSY: i32 = 26;
pub(crate) const ENXIO: i32 = 6;
pub(crate) const EFAULT: i32 = 14;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EFBIG: i32 = 27;
pub(crate) const EROFS: i32 = 30;

unsafe extern "C" {
    pub(crate) fn rzk_features() -> u32;
    pub(crate) fn rzk_print(level: u32, text: *const u8, length: usize);
    #[cfg(not(test))]
    pub(crate) fn rzk_bug();

    // May sleep.
    pub(crate) fn rzk_alloc(size: usize, align: usize) -> *mut c_void;
    #[cfg(not(test))]
    pub(crate) fn rzk_alloc_zeroed(size: usize, align: usize) -> *mut c_void;
    pub(crate) fn rzk_free(memory: *mut c_void);
    pub(crate) fn rzk_vzalloc(size: usize) -> *mut c_void;
    pub(crate) fn rzk_vfree(memory: *mut c_void);
    pub(crate) fn rzk_totalram_bytes() -> u64;
    pub(crate) fn rzk_get_random_bytes(bytes: *mut c_void, length: usize);

    pub(crate) fn rzk_frame_alloc(may_wait: bool) -> *mut c_void;
    pub(crate) fn rzk_frame_free(frame: *mut c_void);
    pub(crate) fn rzk_frames_vmapped() -> u64;
    // May sleep. For the keeper.
    pub(crate) fn rzk_memory_exhausted() -> bool;
    pub(crate) fn rzk_reclaim_or_oom();
    // May sleep.
    pub(crate) fn rzk_shrinker_register(number: u32, live: *const c_void) -> *mut Shrinker;
    pub(crate) fn rzk_shrinker_unregister(shrinker: *mut Shrinker);

    pub(crate) fn rzk_spin_lock(lock: *const u32);
    pub(crate) fn rzk_spin_trylock(lock: *const u32) -> bool;
    pub(crate) fn rzk_spin_unlock(lock: *const u32);
    pub(crate) fn rzk_nr_cpu_ids() -> u32;
    pub(crate) fn rzk_get_cpu() -> u32;
    pub(crate) fn rzk_put_cpu();
    pub(crate) fn rzk_fpu_begin() -> bool;
    pub(crate) fn rzk_fpu_end();
    pub(crate) fn rzk_local_clock() -> u64;
    // May sleep.
    pub(crate) fn rzk_cond_resched();
    pub(crate) fn rzk_usleep();

    // May sleep, but for `rzk_thread_wake`.
    pub(crate) fn rzk_thread_alloc() -> *mut Thread;
    pub(crate) fn rzk_thread_free(thread: *mut Thread);
    pub(crate) fn rzk_thread_start(
        thread: *mut Thread,
        number: u32,
        role: *const c_char,
        kind: u32,
        idle: bool,
        live: *const c_void,
    ) -> c_int;
    pub(crate) fn rzk_thread_stop(thread: *mut Thread);
    pub(crate) fn rzk_thread_wake(thread: *mut Thread);
    pub(crate) fn rzk_thread_should_stop(thread: *mut Thread) -> bool;
    pub(crate) fn rzk_thread_clear_woken(thread: *mut Thread) -> bool;
    pub(crate) fn rzk_thread_sleep(thread: *mut Thread, limit_ms: u64);
    pub(crate) fn rzk_thread_cpu_ns() -> u64;

    // May sleep.
    pub(crate) fn rzk_disk_alloc(
        number: u32,
        device: *const c_void,
        error: *mut c_int,
    ) -> *mut Disk;
    pub(crate) fn rzk_disk_set_synchronous(disk: *mut Disk, synchronous: bool) -> c_int;
    pub(crate) fn rzk_disk_add(disk: *mut Disk) -> c_int;
    pub(crate) fn rzk_disk_del(disk: *mut Disk);
    pub(crate) fn rzk_disk_put(disk: *mut Disk);
    pub(crate) fn rzk_disk_lock(disk: *mut Disk);
    pub(crate) fn rzk_disk_unlock(disk: *mut Disk);
    pub(crate) fn rzk_disk_claim(disk: *mut Disk, own_openers: u32) -> c_int;
    pub(crate) fn rzk_disk_unclaim(disk: *mut Disk);
    pub(crate) fn rzk_disk_invalidate(disk: *mut Disk);
    pub(crate) fn rzk_disk_set_capacity(disk: *mut Disk, bytes: u64);
    pub(crate) fn rzk_disk_drain(disk: *mut Disk);

    pub(crate) fn rzk_bio_start_io_acct(bio: *mut Bio) -> u64;
    pub(crate) fn rzk_bio_end_io(bio: *mut Bio, error: c_int, started: u64);
    pub(crate) fn rzk_bio_fail(bio: *mut Bio, error: c_int);
    pub(crate) fn rzk_bio_iter_init(bio: *mut Bio, cursor: *mut BioIter);
    pub(crate) fn rzk_bio_kmap(bio: *mut Bio, cursor: *const BioIter) -> *mut c_void;
    pub(crate) fn rzk_bio_kunmap(
        bio: *mut Bio,
        cursor: *mut BioIter,
        page: *mut c_void,
        read: bool,
    );
    // May sleep.
    pub(crate) fn rzk_workers_start(backing: *mut Backing, number: u32) -> c_int;
    pub(crate) fn rzk_workers_stop(backing: *mut Backing);
    // May sleep if it may wait.
    pub(crate) fn rzk_work_alloc(
        backing: *mut Backing,
        live: *const c_void,
        write: bool,
        may_wait: bool,
        size: *mut usize,
    ) -> *mut c_void;
    pub(crate) fn rzk_work_queue(memory: *mut c_void, in_transit: bool);

    pub(crate) fn rzk_capable_sys_admin() -> bool;
    // May sleep.
    pub(crate) fn rzk_copy_from_user(to: *mut c_void, from: u64, length: usize) -> c_int;
    pub(crate) fn rzk_copy_to_user(to: u64, from: *const c_void, length: usize) -> c_int;

    pub(crate) fn rzk_zstd_compressor_bytes(level: c_int) -> usize;
    pub(crate) fn rzk_zstd_decompressor_bytes() -> usize;
    pub(crate) fn rzk_zstd_compressor(memory: *mut c_void, bytes: usize) -> *mut c_void;
    pub(crate) fn rzk_zstd_decompressor(memory: *mut c_void, bytes: usize) -> *mut c_void;
    pub(crate) fn rzk_zstd_compress(
        context: *mut c_void,
        level: c_int,
        page: *const c_void,
        out: *mut c_void,
        room: usize,
    ) -> usize;
    pub(crate) fn rzk_zstd_decompress(
        context: *mut c_void,
        chunk: *const c_void,
        length: usize,
        page: *mut c_void,
    ) -> bool;

    // May sleep.
    pub(crate) fn rzk_backing_open(
        path: *const c_char,
        bytes: *mut u64,
        found: *mut FileSystem,
        step: *mut u32,
        error: *mut c_int,
    ) -> *mut Backing;
    pub(crate) fn rzk_backing_close(backing: *mut Backing);
    pub(crate) fn rzk_backing_bmap(backing: *mut Backing, pages: u64, hole: *mut u64) -> c_int;
    pub(crate) fn rzk_backing_reread(
        backing: *mut Backing,
        page: u64,
        request: *mut Bio,
        cursor: *const BioIter,
    ) -> c_int;
    pub(crate) fn rzk_backing_read_page(
        backing: *mut Backing,
        page: u64,
        memory: *mut c_void,
    ) -> c_int;

    // The vector object: between `rzk_fpu_begin` and `rzk_fpu_end`, but for the first two, which
    // may sleep.
    pub(crate) fn ks_scratch_new() -> *mut c_void;
    pub(crate) fn ks_scratch_free(scratch: *mut c_void);
    pub(crate) fn ks_compress(
        scratch: *mut c_void,
        codec: u32,
        level: i32,
        page: *const u8,
        out: *mut u8,
        room: usize,
    ) -> isize;
    pub(crate) fn ks_decompress(
        scratch: *mut c_void,
        codec: u32,
        chunk: *const u8,
        length: usize,
        page: *mut u8,
    ) -> bool;
}

#[cfg(test)]
pub(crate) mod mock;
