//! Requests: reads, writes and discards of whole pages, and slots that are freed.
//!
//! A request is served in *sections* of up to eight pages, with preemption off and this CPU's
//! worker. What has to be waited for is done between them: for memory in the submitter, for the
//! backing swap in a work queue ([`crate::backing`] says how).

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use compcache_engine::Page;
use compcache_engine::store::{InBacking, Loaded, ReadError, Transit, WriteError, Written};

use crate::device::Device;
use crate::live::Live;
use crate::params::PAGE;
use crate::print::{Level, print};
use crate::sys::{self, Bio, Cursor};

/// Kinds of requests, as the kernel's side numbers them.
const READ: u32 = 0;
const WRITE: u32 = 1;
const DISCARD: u32 = 2;

/// Sectors of 512 bytes in a page.
const SECTORS: u64 = PAGE / 512;

/// Pages that are read or written with preemption off, at most: some 50 µs.
const SECTION: u32 = 8;

/// Pages that are freed with preemption off, at most.
const FREED_AT_ONCE: u64 = 128;

/// How often a write that found no room is tried again, once there was some.
const TRIES: u32 = 16;

/// A request that is under way: the pages that are left of it.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) bio: *mut Bio,
    pub(crate) cursor: Cursor,
    /// The next page.
    pub(crate) index: u64,
    /// Pages that are left, it included.
    pub(crate) left: u64,
    pub(crate) write: bool,
    tries: u32,
}

/// Where serving a request stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The section is over; there is more.
    Pause,
    /// At a page for which there is no room.
    NoRoom,
    /// At a page that must be taken to the backing swap.
    Leaving(Transit),
    /// At a page that must be fetched from there.
    Elsewhere(InBacking),
    /// At a page that is on its way there.
    InTransit,
    /// At a page that failed.
    Failed,
}

impl Transfer {
    pub(crate) fn new(bio: *mut Bio, cursor: Cursor, first: u64, pages: u64, write: bool) -> Self {
        Transfer {
            bio,
            cursor,
            index: first,
            left: pages,
            write,
            tries: 0,
        }
    }

    /// Goes on to the next page.
    #[inline]
    fn advance(&mut self) {
        self.index += 1;
        self.left -= 1;
        self.tries = 0;
    }

    /// Serves pages until something has to be waited for, the section or the request is over.
    /// What is at the cursor then is the page that it stopped at, but for [`Stop::Leaving`], whose
    /// page was passed.
    pub(crate) fn section(&mut self, live: &Live) -> Stop {
        live.on_cpu(|worker, _| {
            for _ in 0..SECTION {
                if self.left == 0 {
                    break;
                }
                let before = self.cursor;
                // SAFETY: there are `left` pages from the cursor on.
                let mapped = unsafe { sys::rzk_bio_map(self.bio, &before) };
                let Some(mapped) = NonNull::new(mapped.cast::<Page>()) else {
                    return Stop::Failed;
                };
                let stop = if self.write {
                    // SAFETY: a whole page is mapped, which the submitter does not change.
                    let page = unsafe { mapped.as_ref() };
                    match live.store().write_page(worker, self.index, page) {
                        Ok(Written::Held) => None,
                        Ok(Written::ToBacking(transit)) => Some(Stop::Leaving(transit)),
                        Ok(Written::InTransit) => Some(Stop::InTransit),
                        Err(WriteError::NoSpace { .. }) => Some(Stop::NoRoom),
                        Err(_) => Some(Stop::Failed),
                    }
                } else {
                    // SAFETY: a whole page is mapped, which nobody reads until the request ends.
                    let page = unsafe { &mut *mapped.as_ptr() };
                    match live.store().read_page(worker, self.index, page) {
                        Ok(Loaded::Here) => None,
                        Ok(Loaded::InBacking(seen)) => Some(Stop::Elsewhere(seen)),
                        Ok(Loaded::InTransit) => Some(Stop::InTransit),
                        Err(error) => {
                            report_read(live, &error);
                            Some(Stop::Failed)
                        }
                    }
                };
                // SAFETY: mapped above.
                unsafe {
                    sys::rzk_bio_unmap(
                        self.bio,
                        &mut self.cursor,
                        mapped.as_ptr().cast::<c_void>(),
                        !self.write,
                    );
                }
                match stop {
                    None => self.advance(),
                    Some(Stop::Leaving(transit)) => {
                        self.advance();
                        return Stop::Leaving(transit);
                    }
                    Some(stop) => {
                        self.cursor = before;
                        return stop;
                    }
                }
            }
            Stop::Pause
        })
    }

    /// After [`Stop::NoRoom`]: makes room, and says whether to try again. May sleep.
    pub(crate) fn make_room(&mut self, live: &Live) -> bool {
        if self.tries < TRIES && live.store().top_up() {
            self.tries += 1;
            live.retried.fetch_add(1, Relaxed);
            return true;
        }
        report_full(live, self.index);
        false
    }
}

#[cold]
fn report_read(live: &Live, error: &ReadError) {
    print(Level::Request, Some(live.number()), format_args!("reading failed: {error}"));
}

#[cold]
fn report_full(live: &Live, index: u64) {
    print(
        Level::Request,
        Some(live.number()),
        format_args!(
            "no room for page {index}: the memory limit is reached or the system has no more \
             memory; the kernel keeps the page"
        ),
    );
}

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
unsafe extern "C" fn rz_submit(
    device: *const Device,
    bio: *mut Bio,
    kind: u32,
    sector: u64,
    bytes: u64,
) {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    // SAFETY: a reset waits for requests.
    let Some(live) = (unsafe { device.live() }) else {
        device.count_invalid_io();
        // SAFETY: it was not ended.
        return unsafe { sys::rzk_bio_refuse(bio, -sys::EIO) };
    };
    let Some((first, count)) = pages_of(live, sector, bytes) else {
        device.count_invalid_io();
        // SAFETY: as above.
        return unsafe { sys::rzk_bio_refuse(bio, -sys::EINVAL) };
    };
    match kind {
        READ | WRITE => {
            let mut cursor = Cursor::default();
            // SAFETY: as above.
            let started = unsafe {
                sys::rzk_bio_cursor(bio, &mut cursor);
                sys::rzk_bio_account(bio)
            };
            serve(device, live, Transfer::new(bio, cursor, first, count, kind == WRITE), started);
        }
        DISCARD => {
            discard(live, first, count);
            // SAFETY: as above.
            unsafe { sys::rzk_bio_refuse(bio, 0) };
        }
        // SAFETY: as above.
        _ => unsafe { sys::rzk_bio_refuse(bio, -sys::EOPNOTSUPP) },
    }
}

/// Serves a request as far as nothing but memory has to be waited for, and hands it on then.
fn serve(device: &Device, live: &Live, mut transfer: Transfer, started: u64) {
    let mut error = 0;
    while transfer.left > 0 {
        match transfer.section(live) {
            Stop::Pause => {
                // SAFETY: nothing is held.
                unsafe { sys::rzk_breathe() };
            }
            Stop::NoRoom if transfer.make_room(live) => {}
            Stop::NoRoom => {
                error = -sys::EIO;
                break;
            }
            Stop::Leaving(transit) => {
                return crate::backing::defer(live, transfer, Some(transit), started);
            }
            Stop::Elsewhere(_) | Stop::InTransit => {
                return crate::backing::defer(live, transfer, None, started);
            }
            Stop::Failed => {
                // A page that is not whole, or cannot be read (which was counted as that).
                if is_unaligned(&transfer) {
                    device.count_invalid_io();
                }
                error = -sys::EIO;
                break;
            }
        }
    }
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end(transfer.bio, error, started) };
}

/// Whether what is at the cursor is no whole page.
fn is_unaligned(transfer: &Transfer) -> bool {
    let mut cursor = transfer.cursor;
    // SAFETY: there is a page at the cursor; it is unmapped at once.
    unsafe {
        let page = sys::rzk_bio_map(transfer.bio, &cursor);
        if page.is_null() {
            return true;
        }
        sys::rzk_bio_unmap(transfer.bio, &mut cursor, page, false);
    }
    false
}

fn discard(live: &Live, mut first: u64, mut count: u64) {
    while count > 0 {
        let some = count.min(FREED_AT_ONCE);
        live.on_cpu(|_, cpu| live.store().discard(cpu, first, some));
        first += some;
        count -= some;
        // SAFETY: nothing is held.
        unsafe { sys::rzk_breathe() };
    }
}

/// Reads or writes one page without a request (kernels that have `rw_page`). Returns 0 or a
/// negative error number, after which the kernel sends the page as a request. May sleep.
///
/// # Safety
/// `device` is the disk's, and `page` a whole page that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_page_io(
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
        return -sys::EINVAL;
    };
    // What may have to wait comes as a request.
    if live.backing().is_some() {
        return -sys::EOPNOTSUPP;
    }
    for _ in 0..TRIES {
        let done = live.on_cpu(|worker, _| {
            if write {
                // SAFETY: a whole page, by this function's contract.
                let written = live.store().write_page(worker, index, unsafe { &*page });
                match written {
                    Ok(_) => Ok(()),
                    Err(WriteError::NoSpace { .. }) => Err(true),
                    Err(_) => Err(false),
                }
            } else {
                // SAFETY: as above.
                let loaded = live.store().read_page(worker, index, unsafe { &mut *page });
                loaded.map(drop).map_err(|_| false)
            }
        });
        match done {
            Ok(()) => return 0,
            Err(true) if live.store().top_up() => {
                live.retried.fetch_add(1, Relaxed);
            }
            Err(_) => break,
        }
    }
    // The request that follows is the one that is counted and told of.
    live.retried.fetch_add(u64::from(write), Relaxed);
    -sys::EIO
}

/// Frees a page whose swap slot the kernel has freed. Called under the kernel's spinlocks: never
/// sleeps, allocates, or waits for anybody who is not running.
///
/// # Safety
/// `device` is that of a disk that is swapped on.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_slot_freed(device: *const Device, index: u64) {
    // SAFETY: a device lives longer than its disk.
    let device = unsafe { &*device };
    // SAFETY: a disk that is swapped on is not reset.
    if let Some(live) = unsafe { device.live() } {
        // SAFETY: followed by `rzk_cpu_leave`.
        let cpu = unsafe { sys::rzk_cpu_enter() } as usize;
        live.store().free(cpu, index);
        // SAFETY: follows `rzk_cpu_enter`.
        unsafe { sys::rzk_cpu_leave() };
    }
}
