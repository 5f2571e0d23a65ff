//! Requests: reads, writes and discards of whole pages, and slots that are freed.
//!
//! A request is served in *sections* of up to eight pages, with preemption off and this CPU's
//! worker. What has to be waited for is done between them: for memory in the submitter, for the
//! backing swap by threads of its own ([`crate::deferred`]).

use core::sync::atomic::Ordering::Relaxed;

use compcache_engine::Page;
use compcache_engine::disk::PAGE;
use compcache_engine::store::WriteError;

use crate::deferred;
use crate::device::Device;
use crate::live::Live;
use crate::sys::{self, Bio, BioIter};
use crate::transfer::{Stop, Transfer};

/// Kinds of requests, as the kernel's side numbers them.
const READ: u32 = 0;
const WRITE: u32 = 1;
const DISCARD: u32 = 2;

/// Sectors of 512 bytes in a page.
const SECTORS: u64 = PAGE / 512;

/// Pages that are freed with preemption off, at most.
const FREED_AT_ONCE: u64 = 128;

/// How often a page without a request is tried again, once there was some memory.
const TRIES: u32 = 8;

/// The pages of a request, if it is for whole pages of the disk.
fn pages_of(live: &Live, sector: u64, bytes: u64) -> Option<(u64, u64)> {
    let (first, count) = (sector / SECTORS, bytes / PAGE);
    let whole = sector.is_multiple_of(SECTORS) && bytes.is_multiple_of(PAGE);
    let end = first.checked_add(count)?;
    (whole && end <= live.store().pages()).then_some((first, count))
}

/// Serves a request, or has it served. May sleep.
///
/// # Safety
/// `device` is the disk's, and `bio` a request of that disk that was not ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_submit_bio(
    device: *const Device,
    bio: *mut Bio,
    kind: u32,
    sector: u64,
    bytes: u64,
) {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    // SAFETY: a reset waits for requests.
    let live = unsafe { device.live() };
    let Some((live, (first, count))) =
        live.and_then(|live| Some((live, pages_of(live, sector, bytes)?)))
    else {
        device.count_invalid_io();
        // SAFETY: it was not ended.
        return unsafe { sys::rzk_bio_fail(bio, -sys::EIO) };
    };
    match kind {
        READ | WRITE => {
            let mut cursor = BioIter::default();
            // SAFETY: as above.
            let started = unsafe {
                sys::rzk_bio_iter_init(bio, &mut cursor);
                sys::rzk_bio_start_io_acct(bio)
            };
            let transfer = Transfer::new(bio, cursor, first, count, kind == WRITE);
            serve(device, live, transfer, started);
        }
        DISCARD => {
            discard(live, first, count);
            // SAFETY: as above.
            unsafe { sys::rzk_bio_fail(bio, 0) };
        }
        // SAFETY: as above.
        _ => unsafe { sys::rzk_bio_fail(bio, -sys::EOPNOTSUPP) },
    }
}

/// Serves a request as far as nothing but memory has to be waited for, and hands it on then.
fn serve(device: &Device, live: &Live, mut transfer: Transfer, started: u64) {
    let mut error = 0;
    while transfer.left > 0 {
        match transfer.section(live, &mut ()) {
            Stop::Pause => {
                // SAFETY: nothing is held.
                unsafe { sys::rzk_cond_resched() };
            }
            Stop::NoRoom => {
                if !transfer.make_room(live) {
                    error = -sys::EIO;
                    break;
                }
            }
            Stop::Away(away) => return deferred::defer(live, transfer, Some(away), started),
            Stop::InTransit => return deferred::defer(live, transfer, None, started),
            Stop::Unaligned => {
                device.count_invalid_io();
                error = -sys::EIO;
                break;
            }
            Stop::Failed => {
                error = -sys::EIO;
                break;
            }
        }
    }
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end_io(transfer.bio, error, started) };
}

fn discard(live: &Live, mut first: u64, mut count: u64) {
    while count > 0 {
        let some = count.min(FREED_AT_ONCE);
        live.on_cpu(|worker| live.store().discard(worker, first, some));
        first += some;
        count -= some;
        // SAFETY: nothing is held.
        unsafe { sys::rzk_cond_resched() };
    }
}

/// Reads or writes one page without a request (kernels that have `rw_page`). Returns 0 or a
/// negative error number, after which the kernel sends the page as a request. May sleep.
///
/// # Safety
/// `device` is the disk's, and `page` a whole page that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_rw_page(
    device: *const Device,
    sector: u64,
    page: *mut Page,
    write: bool,
) -> i32 {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    // SAFETY: a reset waits for requests.
    let Some(live) = (unsafe { device.live() }) else {
        return -sys::EIO;
    };
    let Some((index, _)) = pages_of(live, sector, PAGE) else {
        return -sys::EIO;
    };
    // What may have to wait comes as a request.
    if live.backing().is_some() {
        return -sys::EOPNOTSUPP;
    }
    for _ in 0..TRIES {
        let done = live.on_cpu(|worker| {
            if write {
                // SAFETY: a whole page, by this function's contract.
                match live.store().write_page(worker, index, unsafe { &*page }) {
                    Ok(_) => Ok(()),
                    Err(WriteError::NoSpace { .. }) => Err(true),
                    Err(_) => Err(false),
                }
            } else {
                // SAFETY: as above.
                let loaded = live.store().read_page(worker, index, unsafe { &mut *page });
                loaded.map(drop).map_err(|_| {
                    // The engine has counted a corrupt page, all that can fail here, and will again
                    // when it comes as a request.
                    live.read_again.fetch_add(1, Relaxed);
                    false
                })
            }
        });
        match done {
            Ok(()) => return 0,
            Err(true) => {
                // The engine has counted a failure, and the page comes again: here, or as a
                // request.
                live.retried.fetch_add(1, Relaxed);
                if !live.store().top_up() {
                    break;
                }
            }
            Err(false) => break,
        }
    }
    -sys::EIO
}

/// Frees a page whose swap slot the kernel has freed. Called under the kernel's spinlocks: never
/// sleeps, allocates, or waits for anybody who is not running.
///
/// # Safety
/// `device` is that of a disk that is swapped on.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_slot_free_notify(device: *const Device, index: u64) {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    // SAFETY: a disk that is swapped on is not reset.
    if let Some(live) = unsafe { device.live() } {
        // SAFETY: followed by `rzk_put_cpu`.
        let cpu = unsafe { sys::rzk_get_cpu() } as usize;
        live.store().free(cpu, index);
        // SAFETY: follows `rzk_get_cpu`.
        unsafe { sys::rzk_put_cpu() };
    }
}
