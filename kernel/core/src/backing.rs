//! The backing swap: a partition or file that takes pages which do not compress or do not fit.
//! Page `i` of the device has page `i` of the backing swap to itself; page 0, the header, is left
//! alone.
//!
//! # How a request gets there
//!
//! Whoever submits a request serves it until a page must go to the backing swap, come from there,
//! or is on its way. The rest is handed to a work queue with a rescuer (`kernel/shim/deferral.c`),
//! where one thread a request goes on: it serves what is in memory, collects neighbouring pages
//! into *runs*, moves each run with as few bios as its extents allow, waits for it, and ends the
//! request. Many requests are under way at once; none waits with a slot or an arena held.
//!
//! A page that leaves is in transit from before its first byte moves until the run has arrived: a
//! free marks it, another read or write of it waits for its run. Nobody waits for a page in transit
//! while he has pages in transit of his own, so that somebody always gets on.

use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use compcache_engine::Page;
use compcache_engine::page::PAGE_SIZE;
use compcache_engine::store::{InBacking, Transit, Verified};

use crate::error::{BackingProblem, Error};
use crate::fallible;
use crate::live::Live;
use crate::params::PAGE;
use crate::print::{Level, print};
use crate::request::{Stop, Transfer};
use crate::sys::{self, Bio, Cursor};

/// Pages of a run, at most. On the stack of the work queue's thread.
const RUN: usize = 16;

/// How often a page is read again that was changed while it was read.
const READS: u32 = 64;

/// Steps of opening, as the kernel's side numbers them.
const STEP_MEMORY: u32 = 0;
const STEP_OPEN: u32 = 1;
const STEP_KIND: u32 = 2;

/// A swap area that nobody else uses, closed on drop.
#[derive(Debug)]
pub(crate) struct BackingSwap {
    backing: NonNull<sys::Backing>,
    pages: u64,
}

// SAFETY: transfers may be made by several threads at once; opening, mapping and closing are not.
unsafe impl Send for BackingSwap {}
// SAFETY: as above.
unsafe impl Sync for BackingSwap {}

impl BackingSwap {
    /// Opens the swap area at `path` (which ends with a 0), checks it and claims it. May sleep.
    pub(crate) fn open(path: &[u8]) -> Result<Self, Error<'_>> {
        let (text, failed) = (
            CStr::from_bytes_until_nul(path).unwrap_or_default(),
            |problem| Error::Backing { path, problem },
        );
        let (mut room, mut step, mut error) = (0, 0, 0);
        // SAFETY: the text ends with a 0.
        let backing =
            unsafe { sys::rzk_backing_open(text.as_ptr(), &mut room, &mut step, &mut error) };
        let Some(backing) = NonNull::new(backing) else {
            return Err(match (step, -error) {
                (STEP_MEMORY, _) => Error::NoMemory {
                    what: "the backing swap's requests",
                    bytes: PAGE,
                },
                (_, sys::EBUSY | sys::ETXTBSY) => failed(BackingProblem::Busy),
                (STEP_KIND, _) => failed(BackingProblem::Kind),
                (STEP_OPEN, code) | (_, code) => failed(BackingProblem::Open { code }),
            });
        };
        let mut swap = BackingSwap { backing, pages: 0 };
        swap.map(1).map_err(failed)?;
        let pages = swap.read_header(room).map_err(|problem| match problem {
            Some(problem) => failed(problem),
            None => Error::NoMemory {
                what: "the backing swap's header",
                bytes: PAGE,
            },
        })?;
        swap.map(pages).map_err(failed)?;
        swap.pages = pages;
        Ok(swap)
    }

    /// Its pages, the header included: as many as the device will have.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Finds where its first pages lie.
    fn map(&self, pages: u64) -> Result<(), BackingProblem> {
        let mut page = 0;
        // SAFETY: it is open, and nothing is under way.
        match -unsafe { sys::rzk_backing_map(self.backing.as_ptr(), pages, &mut page) } {
            0 => Ok(()),
            sys::ENXIO => Err(BackingProblem::Hole { page }),
            _ => Err(BackingProblem::NoMap),
        }
    }

    /// The number of pages that its header names; `None` where there is no memory to read it.
    fn read_header(&self, room: u64) -> Result<u64, Option<BackingProblem>> {
        if room == 0 {
            return Err(Some(BackingProblem::NoSignature));
        }
        let mut page = fallible::collect(PAGE_SIZE, |_| Ok(0_u8)).map_err(|_| None)?;
        // SAFETY: the memory is a page of `rzk_alloc`'s.
        let code = -unsafe {
            sys::rzk_backing_read(self.backing.as_ptr(), 0, page.as_mut_ptr().cast())
        };
        if code != 0 {
            return Err(Some(BackingProblem::Read { code }));
        }
        check_header(&page, room).map_err(Some)
    }

    /// Moves pages of a request, from its cursor on, and waits for that. May sleep.
    fn transfer(&self, write: bool, first: u64, count: u64, bio: *mut Bio, cursor: &Cursor) -> i32 {
        // SAFETY: the pages were mapped, and the request has as many from the cursor on.
        unsafe {
            sys::rzk_backing_transfer(self.backing.as_ptr(), write, first, count, bio, cursor)
        }
    }
}

impl Drop for BackingSwap {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing is under way: its device has no requests left.
        unsafe { sys::rzk_backing_close(self.backing.as_ptr()) }
    }
}

/// Checks the header of a swap area that has room for `room` pages (`union swap_header` in the
/// kernel's `include/linux/swap.h`), and returns how many pages it names.
fn check_header(page: &[u8], room: u64) -> Result<u64, BackingProblem> {
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&page[at..at + 4]);
        u32::from_ne_bytes(bytes)
    };
    match &page[PAGE_SIZE - 10..] {
        b"SWAPSPACE2" => {}
        b"S1SUSPEND\0" => return Err(BackingProblem::Hibernated),
        _ => return Err(BackingProblem::NoSignature),
    }
    let (version, last_page, bad) = (number(1024), number(1028), number(1032));
    let pages = u64::from(last_page) + 1;
    if version != 1 {
        Err(BackingProblem::Version { version })
    } else if bad != 0 {
        Err(BackingProblem::BadPages { bad })
    } else if last_page == 0 || pages > room {
        Err(BackingProblem::Size { pages, room })
    } else {
        Ok(pages)
    }
}

/// What a deferred request carries besides its cursor.
#[repr(C)]
struct Carried {
    transit: Option<Transit>,
}

/// Words of memory that the kernel's side keeps for it.
const CARRIED_WORDS: usize = 8;

const _: () = assert!(size_of::<Carried>() <= CARRIED_WORDS * 8 && align_of::<Carried>() <= 8);

/// Hands the rest of a request to the work queue; `transit` is the page before the cursor, where
/// that must leave. May sleep.
pub(crate) fn defer(live: &Live, transfer: Transfer, transit: Option<Transit>, started: u64) {
    live.deferred.fetch_add(1, Ordering::Relaxed);
    let carried = Carried { transit };
    let mut words = [0_u64; CARRIED_WORDS];
    // SAFETY: it fits, and is aligned, by the assertion above; `rz_deferred` takes it out again.
    unsafe { words.as_mut_ptr().cast::<Carried>().write(carried) };
    // SAFETY: a reset waits for as long as `deferred` is not 0.
    unsafe {
        sys::rzk_defer(
            core::ptr::from_ref(live).cast(),
            transfer.bio,
            &transfer.cursor,
            transfer.left,
            transfer.index,
            transfer.write,
            started,
            words.as_ptr(),
        );
    }
}

/// Goes on with a request that [`defer`] has handed over. May sleep.
///
/// # Safety
/// The arguments are those of [`defer`], and this is called once for each.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_deferred(
    live: *const Live,
    bio: *mut Bio,
    cursor: *const Cursor,
    left: u64,
    index: u64,
    write: bool,
    started: u64,
    words: *const u64,
) {
    // SAFETY: a reset waits for deferred requests.
    let live = unsafe { &*live };
    // SAFETY: written by `defer`, taken out once.
    let Carried { transit } = unsafe { words.cast::<Carried>().read() };
    // SAFETY: the kernel's side has kept it.
    let cursor = unsafe { *cursor };
    let transfer = Transfer::new(bio, cursor, index, left, write);
    let done = match live.backing() {
        Some(backing) if write => Leaving::new(live, backing, transfer).go_on(transit),
        Some(backing) => fetch_all(live, backing, transfer),
        None => Err(()),
    };
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end(bio, if done.is_ok() { 0 } else { -sys::EIO }, started) };
    // The last use of `live`.
    live.deferred.fetch_sub(1, Ordering::Release);
}

/// A run of pages on their way to the backing swap, and the request that they are of.
struct Leaving<'a> {
    live: &'a Live,
    backing: &'a BackingSwap,
    transfer: Transfer,
    run: [Option<Transit>; RUN],
    length: usize,
    /// Where the run's first page lies in the request.
    start: Cursor,
}

impl<'a> Leaving<'a> {
    fn new(live: &'a Live, backing: &'a BackingSwap, transfer: Transfer) -> Self {
        let start = transfer.cursor;
        Leaving {
            live,
            backing,
            transfer,
            run: [const { None }; RUN],
            length: 0,
            start,
        }
    }

    /// Writes the rest of the request, after a page that is leaving already.
    fn go_on(mut self, first: Option<Transit>) -> Result<(), ()> {
        let mut outcome = Ok(());
        if let Some(transit) = first {
            // Its cursor is one page back.
            // SAFETY: the page before the cursor is one of the request.
            unsafe { sys::rzk_bio_step_back(self.transfer.bio, &mut self.start) };
            self.push(transit);
        }
        while self.transfer.left > 0 && outcome.is_ok() {
            let before = self.transfer.cursor;
            let index = self.transfer.index;
            match self.transfer.section(self.live) {
                Stop::Leaving(transit) => {
                    // Pages that are held lie between this one and the run.
                    if self.transfer.index != index + 1 || self.length == RUN {
                        outcome = self.take_run();
                    }
                    if self.length == 0 {
                        self.start = self.transfer.cursor;
                        // SAFETY: the page was passed just now.
                        unsafe { sys::rzk_bio_step_back(self.transfer.bio, &mut self.start) };
                    }
                    self.push(transit);
                }
                Stop::Pause => outcome = self.take_run(),
                Stop::NoRoom => {
                    outcome = self.take_run();
                    if !self.transfer.make_room(self.live) {
                        outcome = Err(());
                    }
                }
                Stop::InTransit => {
                    outcome = self.take_run();
                    // SAFETY: nothing is held, and nothing of ours is in transit.
                    unsafe { sys::rzk_nap() };
                }
                Stop::Elsewhere(_) | Stop::Failed => outcome = Err(()),
            }
            let _ = before;
        }
        let last = self.take_run();
        outcome.and(last)
    }

    fn push(&mut self, transit: Transit) {
        self.run[self.length] = Some(transit);
        self.length += 1;
    }

    /// Takes the run to the backing swap.
    fn take_run(&mut self) -> Result<(), ()> {
        let Some(first) = self.run[0].as_ref().map(Transit::index) else {
            return Ok(());
        };
        let count = core::mem::take(&mut self.length);
        let code =
            self.backing
                .transfer(true, first, count as u64, self.transfer.bio, &self.start);
        if code != 0 {
            report(self.live, "writing", first, count, -code);
        }
        self.live.on_cpu(|_, cpu| {
            for transit in self.run[..count].iter_mut().filter_map(Option::take) {
                self.live.store().arrive(cpu, transit, code == 0);
            }
        });
        if code == 0 { Ok(()) } else { Err(()) }
    }
}

/// Reads the rest of a request.
fn fetch_all(live: &Live, backing: &BackingSwap, mut transfer: Transfer) -> Result<(), ()> {
    let mut reads = 0;
    while transfer.left > 0 {
        match transfer.section(live) {
            Stop::Pause => reads = 0,
            Stop::Elsewhere(seen) => {
                let before = transfer.index;
                fetch_run(live, backing, &mut transfer, seen)?;
                reads = if transfer.index == before { reads + 1 } else { 0 };
                if reads == READS {
                    return Err(());
                }
            }
            // SAFETY: nothing is held.
            Stop::InTransit => unsafe { sys::rzk_nap() },
            Stop::NoRoom | Stop::Leaving(_) | Stop::Failed => return Err(()),
        }
    }
    Ok(())
}

/// Reads a run of pages that lie in the backing swap; `seen` is what was seen of the first. Stops
/// before a page that was changed meanwhile.
fn fetch_run(
    live: &Live,
    backing: &BackingSwap,
    transfer: &mut Transfer,
    seen: InBacking,
) -> Result<(), ()> {
    let mut run = [None; RUN];
    run[0] = Some(seen);
    let mut count = 1;
    while count < RUN && (count as u64) < transfer.left {
        match live.store().find_in_backing(transfer.index + count as u64) {
            Some(seen) => run[count] = Some(seen),
            None => break,
        }
        count += 1;
    }
    let first = transfer.index;
    let code = backing.transfer(false, first, count as u64, transfer.bio, &transfer.cursor);
    if code != 0 {
        report(live, "reading", first, count, -code);
        live.on_cpu(|_, cpu| live.store().fail_reads(cpu, count as u64));
        return Err(());
    }
    for seen in run.into_iter().flatten() {
        match transfer.verify(live, seen) {
            Verified::Current => {}
            Verified::Changed => break,
            Verified::Corrupt => {
                print(
                    Level::Request,
                    Some(live.number()),
                    format_args!(
                        "page {} came back from the backing swap other than it was written: check \
                         the disk",
                        transfer.index
                    ),
                );
                return Err(());
            }
        }
    }
    Ok(())
}

#[cold]
fn report(live: &Live, what: &str, first: u64, count: usize, code: i32) {
    print(
        Level::Request,
        Some(live.number()),
        format_args!(
            "{what} pages {first} to {} of the backing swap failed (error {code}): check the disk",
            first + count as u64 - 1
        ),
    );
}

const _: () = assert!(size_of::<Page>() == PAGE as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, last_page: u32, bad: u32) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        for (at, value) in [(1024, version), (1028, last_page), (1032, bad)] {
            page[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        page[PAGE_SIZE - 10..].copy_from_slice(b"SWAPSPACE2");
        page
    }

    #[test]
    fn headers_are_checked() {
        assert_eq!(check_header(&header(1, 9, 0), 10), Ok(10));
        for (page, problem) in [
            (header(2, 9, 0), BackingProblem::Version { version: 2 }),
            (header(1, 9, 3), BackingProblem::BadPages { bad: 3 }),
            (header(1, 10, 0), BackingProblem::Size { pages: 11, room: 10 }),
            (header(1, 0, 0), BackingProblem::Size { pages: 1, room: 10 }),
            ([0; PAGE_SIZE], BackingProblem::NoSignature),
        ] {
            assert_eq!(check_header(&page, 10), Err(problem));
        }
    }
}
