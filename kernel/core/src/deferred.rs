//! Requests that wait for the backing swap.
//!
//! Whoever submits a request serves it until a page must go to the backing swap, come from there,
//! or is on its way. The rest is handed to a work queue with a rescuer (`kernel/shim/deferral.c`),
//! where one thread a request goes on: it serves what is in memory, collects neighbouring pages
//! into *runs*, moves each run with as few bios as its extents allow, waits for it, and ends the
//! request. Many requests are under way at once; nobody waits with a slot or an arena held.
//!
//! A page that leaves is in transit from before its first byte moves until its run has arrived: a
//! free marks it, another read or write of it waits for that. Nobody waits for a page in transit
//! while he has pages in transit of his own, so that somebody always gets on.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use compcache_engine::Page;
use compcache_engine::store::{InBacking, Verified};

use crate::backing::BackingSwap;
use crate::live::Live;
use crate::print::{Level, print};
use crate::sys::{self, Bio, Cursor};
use crate::transfer::{Away, Collect, Stop, Token, Transfer};

/// Pages of a run, at most. They are on the stack of the work queue's thread, which is not deep.
const RUN: usize = 16;

/// How often a page is read that is written by others each time.
const READS: u32 = 64;

/// What a deferred request carries besides its place: the page before it, if that is away.
#[repr(C)]
struct Carried {
    away: Option<Away>,
}

/// Words of memory that the kernel's side keeps for it.
const CARRIED_WORDS: usize = 10;

const _: () = assert!(size_of::<Carried>() <= CARRIED_WORDS * 8 && align_of::<Carried>() <= 8);

/// The place of a request for the kernel's side to keep.
#[repr(C)]
pub(crate) struct Deferral {
    bio: *mut Bio,
    cursor: Cursor,
    index: u64,
    left: u64,
    started: u64,
    write: u64,
    carried: [u64; CARRIED_WORDS],
}

/// Words that the kernel's side keeps of it (`KEPT_WORDS` in `kernel/shim/deferral.c`).
const _: () = assert!(size_of::<Deferral>() <= 20 * 8);

/// Hands the rest of a request to the work queue. May sleep.
pub(crate) fn defer(live: &Live, transfer: Transfer, away: Option<Away>, started: u64) {
    live.deferred.fetch_add(1, Ordering::Relaxed);
    let mut deferral = Deferral {
        bio: transfer.bio,
        cursor: transfer.cursor,
        index: transfer.index,
        left: transfer.left,
        started,
        write: transfer.write.into(),
        carried: [0; CARRIED_WORDS],
    };
    // SAFETY: it fits and is aligned, by the assertion above; `rz_deferred` takes it out again.
    unsafe {
        let carried = deferral.carried.as_mut_ptr().cast::<Carried>();
        carried.write(Carried { away });
    }
    // SAFETY: a reset waits for as long as `deferred` is not 0, so that `live` stays; the kernel's
    // side copies as many bytes as are said.
    unsafe {
        let live = core::ptr::from_ref(live).cast();
        let at = core::ptr::from_ref(&deferral).cast();
        sys::rzk_defer(live, at, size_of::<Deferral>());
    }
}

/// Goes on with a request that [`defer`] has handed over. May sleep.
///
/// # Safety
/// The arguments are those of [`defer`], and this is called once for each.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_deferred(live: *const Live, deferral: *const Deferral) {
    // SAFETY: a reset waits for deferred requests.
    let live = unsafe { &*live };
    // SAFETY: the kernel's side has kept what `defer` gave it.
    let deferral = unsafe { &*deferral };
    // SAFETY: written by `defer`, taken out once.
    let Carried { away } = unsafe { deferral.carried.as_ptr().cast::<Carried>().read() };
    let Deferral { bio, started, .. } = *deferral;
    let transfer = Transfer::new(
        bio,
        deferral.cursor,
        deferral.index,
        deferral.left,
        deferral.write != 0,
    );
    let done = match live.backing() {
        Some(backing) => Waiting::new(live, backing, transfer).go_on(away),
        None => Err(Failed),
    };
    let error = if done.is_ok() { 0 } else { -sys::EIO };
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end(bio, error, started) };
    // The last use of `live`.
    live.deferred.fetch_sub(1, Ordering::Release);
}

/// Something failed, and was told of.
#[derive(Debug)]
struct Failed;

/// Neighbouring pages that are away.
struct Run {
    tokens: [Option<Token>; RUN],
    length: usize,
    first: u64,
    /// Where the first page lies in the request.
    start: Cursor,
}

impl Collect for Run {
    fn collect(&mut self, away: Away) -> Option<Away> {
        let index = away.token.index();
        if self.length == 0 {
            self.first = index;
            self.start = away.at;
        } else if self.length == RUN || index != self.first + self.length as u64 {
            return Some(away);
        }
        self.tokens[self.length] = Some(away.token);
        self.length += 1;
        None
    }
}

/// A request in the work queue.
struct Waiting<'a> {
    live: &'a Live,
    backing: &'a BackingSwap,
    transfer: Transfer,
    run: Run,
}

impl<'a> Waiting<'a> {
    fn new(live: &'a Live, backing: &'a BackingSwap, transfer: Transfer) -> Self {
        let run = Run {
            tokens: [const { None }; RUN],
            length: 0,
            first: 0,
            start: transfer.cursor,
        };
        Waiting {
            live,
            backing,
            transfer,
            run,
        }
    }

    /// Serves the rest of the request; `away` is the page before it.
    fn go_on(mut self, away: Option<Away>) -> Result<(), Failed> {
        let mut outcome = Ok(());
        if let Some(away) = away {
            // The run is empty.
            let _ = self.run.collect(away);
        }
        while self.transfer.left > 0 && outcome.is_ok() {
            outcome = match self.transfer.section(self.live, &mut self.run) {
                Stop::Pause => Ok(()),
                Stop::Away(away) => {
                    let moved = self.move_run();
                    // The run is empty.
                    let _ = self.run.collect(away);
                    moved
                }
                Stop::NoRoom => self.move_run().and_then(|()| {
                    let again = self.transfer.make_room(self.live);
                    again.then_some(()).ok_or(Failed)
                }),
                Stop::InTransit => {
                    let moved = self.move_run();
                    // SAFETY: nothing is held, and nothing of ours is in transit.
                    unsafe { sys::rzk_nap() };
                    moved
                }
                Stop::Unaligned | Stop::Failed => Err(Failed),
            };
        }
        // Pages in transit arrive, whatever became of the others.
        let moved = self.move_run();
        outcome.and(moved)
    }

    /// Moves the run from or to the backing swap.
    fn move_run(&mut self) -> Result<(), Failed> {
        let count = core::mem::take(&mut self.run.length);
        if count == 0 {
            return Ok(());
        }
        let Waiting {
            live,
            backing,
            transfer,
            run,
        } = self;
        let (first, bio, write) = (run.first, transfer.bio, transfer.write);
        let code = backing.transfer(write, first, count as u64, bio, &run.start);
        if code != 0 {
            report(live, write, first, count, -code);
        }
        let mut at = run.start;
        let mut outcome = if code == 0 { Ok(()) } else { Err(Failed) };
        for token in run.tokens[..count].iter_mut().filter_map(Option::take) {
            match token {
                Token::Leaving(transit) => {
                    live.on_cpu(|worker| {
                        live.store().arrive(worker.number(), transit, code == 0);
                    });
                }
                Token::Found { seen, .. } if code != 0 => {
                    live.on_cpu(|worker| live.store().count_failed_read(worker.number(), seen));
                }
                Token::Found { index, seen } => {
                    outcome = outcome.and(check(live, backing, bio, &mut at, index, seen));
                }
            }
        }
        outcome
    }
}

/// Checks a page at a cursor that came from the backing swap, reads it again if it was changed
/// meanwhile, and goes on to the next.
fn check(
    live: &Live,
    backing: &BackingSwap,
    bio: *mut Bio,
    at: &mut Cursor,
    index: u64,
    mut seen: InBacking,
) -> Result<(), Failed> {
    let here = *at;
    for _ in 0..READS {
        *at = here;
        // SAFETY: the cursor is at a page of the request, which was a whole one.
        let mapped = unsafe { sys::rzk_bio_map(bio, &here) };
        let page = NonNull::new(mapped.cast::<Page>()).ok_or(Failed)?;
        let verified = live.on_cpu(|worker| {
            // SAFETY: it is mapped, and nobody writes to it.
            let page = unsafe { page.as_ref() };
            live.store().verify(worker.number(), index, seen, page)
        });
        // SAFETY: mapped above.
        unsafe { sys::rzk_bio_unmap(bio, at, page.as_ptr().cast::<c_void>(), true) };
        match verified {
            Verified::Current => return Ok(()),
            Verified::Corrupt => {
                report_corrupt(live, index);
                return Err(Failed);
            }
            Verified::Changed => {}
        }
        // It was written or freed: where is it now?
        let mut again = Transfer::new(bio, here, index, 1, false);
        loop {
            match again.section(live, &mut ()) {
                Stop::Pause => return Ok(()),
                Stop::Away(Away {
                    token: Token::Found { seen: now, .. },
                    ..
                }) => {
                    seen = now;
                    break;
                }
                // SAFETY: nothing is held, and nothing of ours is in transit.
                Stop::InTransit => unsafe { sys::rzk_nap() },
                _ => return Err(Failed),
            }
        }
        let code = backing.transfer(false, index, 1, bio, &here);
        if code != 0 {
            report(live, false, index, 1, -code);
            live.on_cpu(|worker| live.store().count_failed_read(worker.number(), seen));
            return Err(Failed);
        }
    }
    Err(Failed)
}

#[cold]
fn report(live: &Live, write: bool, first: u64, count: usize, code: i32) {
    let what = if write { "writing" } else { "reading" };
    let last = first + count as u64 - 1;
    print(
        Level::Request,
        Some(live.number()),
        format_args!(
            "{what} pages {first} to {last} of the backing swap failed (error {code}): check its \
             disk"
        ),
    );
}

#[cold]
fn report_corrupt(live: &Live, index: u64) {
    print(
        Level::Request,
        Some(live.number()),
        format_args!(
            "page {index} is corrupt: the backing swap gave back other bytes than were written; \
             check its disk"
        ),
    );
}
