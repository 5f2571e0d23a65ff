//! A kernel for the tests, made of a few functions: two processors, threads, memory that can be
//! out, disks, requests, and a backing swap in memory.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::{MaybeUninit, offset_of};
use std::ops::Range;
use std::ptr;
use std::string::String;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst,
};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::vec::Vec;

use compcache_engine::host::FRAME_SIZE;
use compcache_engine::page::{PAGE_SIZE, Page};

use super::{
    Bio, BioIter, FileSystem, HAS_FREE_NOTIFY, HAS_SYNCHRONOUS, Run, WORK_ENDED, WORK_MEMORY,
    WORK_MOVES, WORK_WAITS,
};
use crate::deferred::Deferral;
use crate::live::Live;
use crate::print::Level;

/// Processors.
const CPUS: u32 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One test at a time: the module has statics.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = lock(&ALONE);
    FAIL_IN.store(i64::MAX, SeqCst);
    ADMIN.store(true, SeqCst);
    BACKING_FAILS.store(false, SeqCst);
    NO_DEFERRALS.store(false, SeqCst);
    MEMORY_IS_OUT.store(false, SeqCst);
    MEMORY_ASKED.store(0, SeqCst);
    LIMITED.store(0, SeqCst);
    SHOWN.store(0, SeqCst);
    MOST_SHOWN.store(u32::MAX, SeqCst);
    BACKING_OPEN_FAILS.store(0, SeqCst);
    BACKING_MAP_FAILS.store(0, SeqCst);
    lock(&LOG).clear();
    *lock(&FILE_SYSTEM) = FileSystem::default();
    guard
}

/// Allocations until one fails; each of them counts down.
pub(crate) static FAIL_IN: AtomicI64 = AtomicI64::new(i64::MAX);
/// Whether the caller has CAP_SYS_ADMIN.
pub(crate) static ADMIN: AtomicBool = AtomicBool::new(true);
/// Whether transfers of backing swaps fail.
pub(crate) static BACKING_FAILS: AtomicBool = AtomicBool::new(false);
/// Whether memory for a deferred request must be waited for.
pub(crate) static NO_DEFERRALS: AtomicBool = AtomicBool::new(false);
/// Disks that were shown since the test began.
pub(crate) static SHOWN: AtomicU32 = AtomicU32::new(0);
/// Disks that can be shown.
pub(crate) static MOST_SHOWN: AtomicU32 = AtomicU32::new(u32::MAX);
/// The error number by which backing swaps are not opened, once they are found; 0 for none.
pub(crate) static BACKING_OPEN_FAILS: AtomicI32 = AtomicI32::new(0);
/// The error number by which the places of backing swaps are not found; 0 for none.
pub(crate) static BACKING_MAP_FAILS: AtomicI32 = AtomicI32::new(0);
/// Whether no page is left for anybody.
pub(crate) static MEMORY_IS_OUT: AtomicBool = AtomicBool::new(false);
/// How often the kernel was asked for memory until it has some.
pub(crate) static MEMORY_ASKED: AtomicU32 = AtomicU32::new(0);
/// Whether the disk that was initialised last is a synchronous one.
pub(crate) static SYNCHRONOUS: AtomicBool = AtomicBool::new(false);
/// Things that were made and not freed.
pub(crate) static MADE: AtomicI64 = AtomicI64::new(0);
/// What the shrinker that was registered last was registered with.
pub(crate) static SHRINKER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// Lines of the log of which the kernel prints some only.
pub(crate) static LIMITED: AtomicU32 = AtomicU32::new(0);
/// The kernel's log.
pub(crate) static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Files that can be backing swaps.
pub(crate) static FILES: Mutex<Option<HashMap<String, Vec<Page>>>> = Mutex::new(None);

/// What those files lie on; nothing: they are partitions.
pub(crate) static FILE_SYSTEM: Mutex<FileSystem> = Mutex::new(FileSystem {
    magic: 0,
    name: [0; 32],
});

/// Whether memory is there for one more thing.
fn may_make() -> bool {
    let there = FAIL_IN.fetch_sub(1, SeqCst) != 0;
    if there {
        MADE.fetch_add(1, SeqCst);
    }
    there
}

fn unmake() {
    MADE.fetch_sub(1, SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn rzk_features() -> u32 {
    HAS_FREE_NOTIFY | HAS_SYNCHRONOUS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_print(level: u32, text: *const u8, length: usize) {
    // SAFETY: the text has this length.
    let bytes = unsafe { std::slice::from_raw_parts(text, length) };
    if level >= Level::FailedRead as u32 {
        LIMITED.fetch_add(1, SeqCst);
    }
    lock(&LOG).push(String::from_utf8_lossy(bytes).into_owned());
}

/// Memory with its size before it, so that it can be freed.
unsafe fn sized(size: usize, align: usize, zero: bool) -> *mut c_void {
    let align = align.max(4096);
    let Ok(layout) = Layout::from_size_align(size + align, align) else {
        return ptr::null_mut();
    };
    if size > 1 << 40 || !may_make() {
        return ptr::null_mut();
    }
    // SAFETY: the layout has a size; the header lies before what is returned.
    unsafe {
        let start = if zero {
            alloc_zeroed(layout)
        } else {
            alloc(layout)
        };
        let memory = start.add(align);
        memory.cast::<usize>().sub(1).write(size);
        memory.cast::<usize>().sub(2).write(align);
        memory.cast()
    }
}

unsafe fn free_sized(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    unmake();
    // SAFETY: made by `sized`.
    unsafe {
        let words = memory.cast::<usize>();
        let (size, align) = (words.sub(1).read(), words.sub(2).read());
        let layout = Layout::from_size_align_unchecked(size + align, align);
        dealloc(memory.cast::<u8>().sub(align), layout);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_alloc(size: usize, align: usize) -> *mut c_void {
    // SAFETY: any size may be requested.
    unsafe { sized(size, align, false) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_free(memory: *mut c_void) {
    // SAFETY: made by `rzk_alloc`.
    unsafe { free_sized(memory) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_vzalloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be requested.
    unsafe { sized(size, 4096, true) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_vfree(memory: *mut c_void) {
    // SAFETY: made by `rzk_vzalloc`.
    unsafe { free_sized(memory) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_get_random_bytes(bytes: *mut c_void, length: usize) {
    // SAFETY: the memory has this length.
    unsafe { bytes.cast::<u8>().write_bytes(4, length) }
}

#[unsafe(no_mangle)]
extern "C" fn rzk_totalram_bytes() -> u64 {
    1 << 30
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_frame_alloc(_: bool) -> *mut c_void {
    // SAFETY: any size may be requested.
    unsafe { sized(FRAME_SIZE, 4096, false) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_frame_free(frame: *mut c_void) {
    // SAFETY: made by `rzk_frame_alloc`.
    unsafe { free_sized(frame) }
}

#[unsafe(no_mangle)]
extern "C" fn rzk_frames_vmapped() -> u64 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn rzk_memory_exhausted() -> bool {
    might_sleep();
    MEMORY_IS_OUT.load(SeqCst)
}

#[unsafe(no_mangle)]
extern "C" fn rzk_reclaim_or_oom() {
    might_sleep();
    MEMORY_ASKED.fetch_add(1, SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn rzk_shrinker_register(_: u32, live: *const c_void) -> *mut c_void {
    if may_make() {
        SHRINKER.store(live.cast_mut(), SeqCst);
        live.cast_mut()
    } else {
        ptr::null_mut()
    }
}

#[unsafe(no_mangle)]
extern "C" fn rzk_shrinker_unregister(_: *mut c_void) {
    unmake();
}

thread_local! {
    /// How deep this thread is in calls of `rzk_get_cpu`, and on which processor.
    static ENTERED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

static BUSY: [AtomicBool; CPUS as usize] = [const { AtomicBool::new(false) }; CPUS as usize];

fn take(flag: &AtomicBool) -> bool {
    !flag.swap(true, SeqCst)
}

#[unsafe(no_mangle)]
extern "C" fn rzk_get_cpu() -> u32 {
    let (depth, mut cpu) = ENTERED.get();
    if depth == 0 {
        while !take(&BUSY[cpu as usize]) {
            cpu = (cpu + 1) % CPUS;
            std::thread::yield_now();
        }
    }
    ENTERED.set((depth + 1, cpu));
    cpu
}

#[unsafe(no_mangle)]
extern "C" fn rzk_put_cpu() {
    let (depth, cpu) = ENTERED.get();
    if depth == 1 {
        BUSY[cpu as usize].store(false, SeqCst);
    }
    ENTERED.set((depth - 1, cpu));
}

/// Nothing that sleeps is called with preemption off.
fn might_sleep() {
    assert_eq!(ENTERED.get().0, 0, "sleeping with preemption off");
}

#[unsafe(no_mangle)]
extern "C" fn rzk_nr_cpu_ids() -> u32 {
    CPUS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_spin_lock(word: *const u32) {
    // SAFETY: it is a lock that lives.
    while !unsafe { rzk_spin_trylock(word) } {
        std::thread::yield_now();
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_spin_trylock(word: *const u32) -> bool {
    // SAFETY: it is a lock that lives.
    let word = unsafe { AtomicU32::from_ptr(word.cast_mut()) };
    word.compare_exchange(0, 1, SeqCst, SeqCst).is_ok()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_spin_unlock(word: *const u32) {
    // SAFETY: it is a lock that lives.
    unsafe { AtomicU32::from_ptr(word.cast_mut()) }.store(0, SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn rzk_fpu_begin() -> bool {
    false
}

#[unsafe(no_mangle)]
extern "C" fn rzk_fpu_end() {}

#[unsafe(no_mangle)]
extern "C" fn rzk_local_clock() -> u64 {
    static START: Mutex<Option<Instant>> = Mutex::new(None);
    let start = *lock(&START).get_or_insert_with(Instant::now);
    start.elapsed().as_nanos() as u64
}

#[unsafe(no_mangle)]
extern "C" fn rzk_cond_resched() {
    might_sleep();
}

#[unsafe(no_mangle)]
extern "C" fn rzk_usleep() {
    might_sleep();
    std::thread::sleep(Duration::from_micros(50));
}

/// A thread: woken and stopped.
#[derive(Default)]
struct MockThread {
    flags: Mutex<(bool, bool)>,
    changed: Condvar,
    handle: Mutex<Option<JoinHandle<()>>>,
}

#[unsafe(no_mangle)]
extern "C" fn rzk_thread_alloc() -> *mut c_void {
    if !may_make() {
        return ptr::null_mut();
    }
    Box::into_raw(Box::<MockThread>::default()).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_free(thread: *mut MockThread) {
    unmake();
    // SAFETY: made by `rzk_thread_alloc`.
    drop(unsafe { Box::from_raw(thread) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_start(
    thread: *mut MockThread,
    _: u32,
    _: *const c_char,
    kind: u32,
    _: bool,
    live: *const c_void,
) -> c_int {
    #[allow(improper_ctypes)] // the other side is in this crate
    unsafe extern "C" {
        fn rz_thread_run(live: *const Live, kind: u32);
    }
    if FAIL_IN.fetch_sub(1, SeqCst) == 0 {
        return -super::ENOMEM;
    }
    let live = live as usize;
    // SAFETY: it stays until the thread was stopped.
    let handle = std::thread::spawn(move || unsafe { rz_thread_run(live as *const Live, kind) });
    // SAFETY: made by `rzk_thread_alloc`.
    *lock(unsafe { &(*thread).handle }) = Some(handle);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_stop(thread: *mut MockThread) {
    // SAFETY: made by `rzk_thread_alloc`.
    let thread = unsafe { &*thread };
    lock(&thread.flags).1 = true;
    thread.changed.notify_all();
    if let Some(handle) = lock(&thread.handle).take() {
        handle.join().expect("the thread has not panicked");
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_wake(thread: *mut MockThread) {
    // SAFETY: made by `rzk_thread_alloc`.
    let thread = unsafe { &*thread };
    lock(&thread.flags).0 = true;
    thread.changed.notify_all();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_should_stop(thread: *mut MockThread) -> bool {
    // SAFETY: made by `rzk_thread_alloc`.
    lock(unsafe { &(*thread).flags }).1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_clear_woken(thread: *mut MockThread) -> bool {
    // SAFETY: made by `rzk_thread_alloc`.
    std::mem::take(&mut lock(unsafe { &(*thread).flags }).0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_thread_sleep(thread: *mut MockThread, limit_ms: u64) {
    might_sleep();
    // SAFETY: made by `rzk_thread_alloc`.
    let thread = unsafe { &*thread };
    let limit = Duration::from_millis(if limit_ms == 0 { 1 << 40 } else { limit_ms });
    let flags = lock(&thread.flags);
    let waits = |flags: &mut (bool, bool)| !flags.0 && !flags.1;
    drop(thread.changed.wait_timeout_while(flags, limit, waits));
}

#[unsafe(no_mangle)]
extern "C" fn rzk_thread_cpu_ns() -> u64 {
    rzk_local_clock()
}

/// A disk: who has it open, its size, whether it is claimed.
#[derive(Default)]
pub(crate) struct MockDisk {
    pub(crate) openers: AtomicU32,
    pub(crate) bytes: AtomicU64,
    claimed: AtomicBool,
    control: AtomicBool,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_alloc(_: u32, _: *const c_void, error: *mut c_int) -> *mut MockDisk {
    if may_make() {
        return Box::into_raw(Box::default());
    }
    // SAFETY: there is a place for it.
    unsafe { error.write(-super::ENOMEM) };
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn rzk_disk_add(_: *mut MockDisk) -> c_int {
    if SHOWN.load(SeqCst) == MOST_SHOWN.load(SeqCst) {
        return -super::ENOMEM;
    }
    SHOWN.fetch_add(1, SeqCst);
    0
}

#[unsafe(no_mangle)]
extern "C" fn rzk_disk_del(_: *mut MockDisk) {}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_put(disk: *mut MockDisk) {
    unmake();
    // SAFETY: made by `rzk_disk_alloc`.
    drop(unsafe { Box::from_raw(disk) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_lock(disk: *mut MockDisk) {
    might_sleep();
    // SAFETY: made by `rzk_disk_alloc`.
    while !take(unsafe { &(*disk).control }) {
        std::thread::yield_now();
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_unlock(disk: *mut MockDisk) {
    // SAFETY: made by `rzk_disk_alloc`.
    unsafe { &(*disk).control }.store(false, SeqCst);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_claim(disk: *mut MockDisk, own_openers: u32) -> c_int {
    // SAFETY: made by `rzk_disk_alloc`.
    let disk = unsafe { &*disk };
    if disk.openers.load(SeqCst) > own_openers || !take(&disk.claimed) {
        return -super::EBUSY;
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_unclaim(disk: *mut MockDisk) {
    // SAFETY: made by `rzk_disk_alloc`.
    unsafe { &(*disk).claimed }.store(false, SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn rzk_disk_invalidate(_: *mut MockDisk) {}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_disk_set_capacity(disk: *mut MockDisk, bytes: u64) {
    // SAFETY: made by `rzk_disk_alloc`.
    unsafe { &(*disk).bytes }.store(bytes, SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn rzk_disk_set_synchronous(_: *mut MockDisk, synchronous: bool) -> c_int {
    might_sleep();
    SYNCHRONOUS.store(synchronous, SeqCst);
    0
}

#[unsafe(no_mangle)]
extern "C" fn rzk_disk_drain(_: *mut MockDisk) {
    might_sleep();
}

/// A request: its pages, `None` for what is no whole page, and how it ended.
pub(crate) struct MockBio {
    pub(crate) pages: Vec<Option<Box<Page>>>,
    ended: Mutex<Option<c_int>>,
    end: Condvar,
}

impl MockBio {
    pub(crate) fn new(pages: Vec<Option<Box<Page>>>) -> Box<Self> {
        Box::new(MockBio {
            pages,
            ended: Mutex::new(None),
            end: Condvar::new(),
        })
    }

    pub(crate) fn as_bio(&mut self) -> *mut Bio {
        ptr::from_mut(self).cast()
    }

    /// Waits for its end, and returns its error.
    pub(crate) fn wait(&self) -> c_int {
        let ended = lock(&self.ended);
        let ended = self.end.wait_while(ended, |ended| ended.is_none());
        ended.unwrap_or_else(PoisonError::into_inner).unwrap_or(0)
    }

    unsafe fn of<'a>(bio: *mut Bio) -> &'a mut MockBio {
        // SAFETY: made by `as_bio`.
        unsafe { &mut *bio.cast::<MockBio>() }
    }
}

#[unsafe(no_mangle)]
extern "C" fn rzk_bio_start_io_acct(_: *mut Bio) -> u64 {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_bio_end_io(bio: *mut Bio, error: c_int, _: u64) {
    // SAFETY: made by `as_bio`, and waited for.
    let bio = unsafe { &*bio.cast::<MockBio>() };
    let mut ended = lock(&bio.ended);
    assert!(ended.is_none(), "it has ended already");
    *ended = Some(error);
    bio.end.notify_all();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_bio_fail(bio: *mut Bio, error: c_int) {
    // SAFETY: as above.
    unsafe { rzk_bio_end_io(bio, error, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_bio_iter_init(_: *mut Bio, cursor: *mut BioIter) {
    // SAFETY: there is a place for it.
    unsafe { cursor.write(BioIter::default()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_bio_kmap(bio: *mut Bio, cursor: *const BioIter) -> *mut c_void {
    // SAFETY: a request that was not ended, and a cursor into it.
    let (bio, at) = unsafe { (MockBio::of(bio), (*cursor)._opaque[0] as usize) };
    match &mut bio.pages[at] {
        Some(page) => page.as_mut_ptr().cast(),
        None => ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_bio_kunmap(_: *mut Bio, cursor: *mut BioIter, _: *mut c_void, _: bool) {
    // SAFETY: it is a cursor.
    unsafe { (*cursor)._opaque[0] += 1 };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_work_alloc(
    backing: *mut MockBacking,
    live: *const c_void,
    write: bool,
    may_wait: bool,
    size: *mut usize,
) -> *mut c_void {
    might_sleep();
    if !may_wait {
        let mut gate = lock(&GATE);
        if *gate == Gate::Shut {
            *gate = Gate::Reached;
            GATE_MOVES.notify_all();
            while *gate == Gate::Reached {
                gate = GATE_MOVES
                    .wait(gate)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        if NO_DEFERRALS.load(SeqCst) {
            return ptr::null_mut();
        }
    }
    let work = Box::new(Work {
        live: live.cast(),
        backing,
        write,
        memory: [0; WORK_MEMORY],
    });
    // SAFETY: there is a place for it, and the memory lies in the box.
    unsafe {
        size.write(WORK_MEMORY * 8);
        (&raw mut (*Box::into_raw(work)).memory).cast()
    }
}

/// A request that was deferred.
#[repr(C)]
struct Work {
    live: *const Live,
    backing: *mut MockBacking,
    write: bool,
    memory: [u64; WORK_MEMORY],
}

/// That of which a request has this memory.
unsafe fn work_of(memory: *mut c_void) -> *mut Work {
    // SAFETY: it lies in one.
    unsafe { memory.byte_sub(offset_of!(Work, memory)).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_work_queue(memory: *mut c_void, in_transit: bool) {
    // SAFETY: made by `rzk_work_alloc`.
    unsafe { queue(memory, usize::from(!in_transit), 0) }
}

/// Has a request served by a thread of [`WORKERS`]; `moved` is how moving its run went.
unsafe fn queue(memory: *mut c_void, worker: usize, moved: c_int) {
    #[allow(improper_ctypes)] // the other side is in this crate
    unsafe extern "C" {
        fn rz_work_run(
            live: *const Live,
            deferral: *mut Deferral,
            moved: c_int,
            run: *mut Run,
        ) -> u32;
    }
    let memory = memory as usize;
    let worker = &WORKERS[worker];
    std::thread::spawn(move || {
        worker.begin();
        let memory = memory as *mut c_void;
        let mut run = MaybeUninit::uninit();
        // SAFETY: made by `rzk_work_alloc`, freed once; a run was written if one is to be moved.
        unsafe {
            let work = work_of(memory);
            match rz_work_run((*work).live, memory.cast(), moved, run.as_mut_ptr()) {
                WORK_ENDED => drop(Box::from_raw(work)),
                WORK_WAITS => {
                    std::thread::sleep(Duration::from_micros(50));
                    queue(memory, 1, 0);
                }
                WORK_MOVES => begin_move(run.assume_init(), memory),
                other => panic!("{other} becomes of a request"),
            }
        }
        worker.end();
    });
}

/// Runs that are under way.
static UNDER_WAY: Mutex<u32> = Mutex::new(0);
static UNDER_WAY_CHANGED: Condvar = Condvar::new();
/// No run arrives before so many have been under way at once; then it is 0.
pub(crate) static TOGETHER: AtomicU32 = AtomicU32::new(0);

/// Moves a run, which nobody waits for.
///
/// # Safety
/// It is that of the request in `memory`.
unsafe fn begin_move(run: Run, memory: *mut c_void) {
    // SAFETY: it is that of a request, and a cursor into it.
    let (work, at) = unsafe { (&*work_of(memory), (*run.from)._opaque[0] as usize) };
    let (memory, bio) = (memory as usize, run.request as usize);
    let (backing, write) = (work.backing as usize, work.write);
    std::thread::spawn(move || {
        let mut under_way = lock(&UNDER_WAY);
        *under_way += 1;
        if *under_way >= TOGETHER.load(SeqCst) {
            TOGETHER.store(0, SeqCst);
        }
        UNDER_WAY_CHANGED.notify_all();
        while TOGETHER.load(SeqCst) != 0 {
            under_way = UNDER_WAY_CHANGED
                .wait(under_way)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *under_way -= 1;
        drop(under_way);
        let pages = run.first..run.first + run.count;
        // SAFETY: the request has not ended, and nobody touches these pages meanwhile.
        let moved = unsafe { move_pages(backing as _, write, pages, bio as _, at) };
        // SAFETY: made by `rzk_work_alloc`, and not freed.
        unsafe { queue(memory as *mut c_void, usize::from(!write), moved) };
    });
}

/// A thread that serves one request at a time.
pub(crate) struct Worker {
    busy: Mutex<bool>,
    changed: Condvar,
}

/// That of requests that have pages in transit, and that of those that may wait for such pages.
pub(crate) static WORKERS: [Worker; 2] = [const {
    Worker {
        busy: Mutex::new(false),
        changed: Condvar::new(),
    }
}; 2];

impl Worker {
    fn begin(&self) {
        let busy = lock(&self.busy);
        let busy = self.changed.wait_while(busy, |busy| *busy);
        *busy.unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn end(&self) {
        *lock(&self.busy) = false;
        self.changed.notify_all();
    }

    /// Waits until it serves a request.
    pub(crate) fn wait_busy(&self) {
        let busy = lock(&self.busy);
        drop(self.changed.wait_while(busy, |busy| !*busy));
    }
}

/// Where the first request that is deferred is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Shut,
    /// It is there.
    Reached,
}

static GATE: Mutex<Gate> = Mutex::new(Gate::Open);
static GATE_MOVES: Condvar = Condvar::new();

impl Gate {
    /// Shuts or opens the gate.
    pub(crate) fn set(self) {
        *lock(&GATE) = self;
        GATE_MOVES.notify_all();
    }

    /// Waits until a request is held up.
    pub(crate) fn wait_reached() {
        let gate = lock(&GATE);
        drop(GATE_MOVES.wait_while(gate, |gate| *gate != Gate::Reached));
    }
}

#[unsafe(no_mangle)]
extern "C" fn rzk_capable_sys_admin() -> bool {
    ADMIN.load(SeqCst)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_copy_from_user(to: *mut c_void, from: u64, length: usize) -> c_int {
    if from == 0 {
        return -super::EFAULT;
    }
    // SAFETY: a test gives addresses of as many bytes.
    unsafe { ptr::copy_nonoverlapping(from as *const u8, to.cast(), length) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_copy_to_user(to: u64, from: *const c_void, length: usize) -> c_int {
    if to == 0 {
        return -super::EFAULT;
    }
    // SAFETY: as above.
    unsafe { ptr::copy_nonoverlapping(from.cast(), to as *mut u8, length) };
    0
}

/// A file in use.
pub(crate) struct MockBacking {
    path: String,
    has_workers: bool,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_backing_open(
    path: *const c_char,
    bytes: *mut u64,
    found: *mut FileSystem,
    step: *mut u32,
    error: *mut c_int,
) -> *mut MockBacking {
    // SAFETY: the path ends with a 0, and there are places for the rest.
    let (path, step, error) = unsafe { (CStr::from_ptr(path), &mut *step, &mut *error) };
    let path = path.to_string_lossy().into_owned();
    let files = lock(&FILES);
    let Some(file) = files.as_ref().and_then(|files| files.get(&path)) else {
        (*step, *error) = (1, -2);
        return ptr::null_mut();
    };
    *error = -BACKING_OPEN_FAILS.load(SeqCst);
    if *error != 0 {
        *step = 1;
        return ptr::null_mut();
    }
    if !may_make() {
        (*step, *error) = (0, -super::ENOMEM);
        return ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe {
        bytes.write((file.len() * PAGE_SIZE) as u64);
        found.write(*lock(&FILE_SYSTEM));
    }
    Box::into_raw(Box::new(MockBacking {
        path,
        has_workers: false,
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_workers_start(backing: *mut MockBacking, _: u32) -> c_int {
    might_sleep();
    if !may_make() {
        return -super::ENOMEM;
    }
    // SAFETY: made by `rzk_backing_open`.
    unsafe { (*backing).has_workers = true };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_workers_stop(backing: *mut MockBacking) {
    might_sleep();
    // SAFETY: as above.
    if core::mem::take(unsafe { &mut (*backing).has_workers }) {
        unmake();
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_backing_close(backing: *mut MockBacking) {
    unmake();
    // SAFETY: made by `rzk_backing_open`.
    drop(unsafe { Box::from_raw(backing) });
}

#[unsafe(no_mangle)]
extern "C" fn rzk_backing_bmap(_: *mut MockBacking, _: u64, _: *mut u64) -> c_int {
    -BACKING_MAP_FAILS.load(SeqCst)
}

/// Calls `work` with a page of a file.
unsafe fn with_page(backing: *mut MockBacking, page: u64, work: impl FnOnce(&mut Page)) -> c_int {
    might_sleep();
    if BACKING_FAILS.load(SeqCst) {
        return -super::EIO;
    }
    // SAFETY: made by `rzk_backing_open`.
    let path = unsafe { &(*backing).path };
    let mut files = lock(&FILES);
    let file = files.as_mut().and_then(|files| files.get_mut(path));
    work(&mut file.expect("an open file")[page as usize]);
    0
}

/// Moves pages of a request, from page `at` on, and says how that went.
unsafe fn move_pages(
    backing: *mut MockBacking,
    write: bool,
    pages: Range<u64>,
    request: *mut Bio,
    at: usize,
) -> c_int {
    // SAFETY: a request that was not ended.
    let bio = unsafe { MockBio::of(request) };
    for (index, page) in pages.zip(&mut bio.pages[at..]) {
        let page = page.as_mut().expect("a whole page");
        // SAFETY: made by `rzk_backing_open`.
        let code = unsafe {
            with_page(backing, index, |there| {
                if write {
                    there.copy_from_slice(&page[..]);
                } else {
                    page.copy_from_slice(there);
                }
            })
        };
        if code != 0 {
            return code;
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_backing_reread(
    backing: *mut MockBacking,
    page: u64,
    request: *mut Bio,
    cursor: *const BioIter,
) -> c_int {
    // SAFETY: a request that was not ended, and a cursor into it.
    unsafe {
        let at = (*cursor)._opaque[0] as usize;
        move_pages(backing, false, page..page + 1, request, at)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rzk_backing_read_page(
    backing: *mut MockBacking,
    page: u64,
    memory: *mut c_void,
) -> c_int {
    // SAFETY: made by `rzk_backing_open`; the memory is a page.
    unsafe {
        with_page(backing, page, |there| {
            ptr::copy_nonoverlapping(there.as_ptr(), memory.cast(), PAGE_SIZE);
        })
    }
}

/// What this kernel does not have is never called.
macro_rules! absent {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() {
            unreachable!("this kernel does not have it");
        }
    )*};
}

absent! {
    rzk_zstd_compressor_bytes rzk_zstd_decompressor_bytes rzk_zstd_compressor rzk_zstd_decompressor
    rzk_zstd_compress rzk_zstd_decompress ks_scratch_new ks_scratch_free ks_compress ks_decompress
}
