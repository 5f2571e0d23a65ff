//! Requests that wait for the backing swap.
//!
//! Whoever submits a request serves it until a page must go to the backing swap, come from there,
//! or is on its way. The rest is handed to work queues with rescuers (`kernel/shim/workqueue.c`),
//! where one thread a request goes on: it serves what is in memory, collects neighbouring pages
//! into *runs*, moves each run with as few bios as its extents allow, waits for it, and ends the
//! request. Many requests are under way at once; nobody waits with a slot or an arena held.
//!
//! A page that leaves is in transit from before its first byte moves until its run has arrived: a
//! free marks it, another read or write of it waits for that. So that somebody always gets on,
//! whoever has pages in transit waits neither for those of others, nor for his turn behind requests
//! that do (they have a queue of their own), nor for memory that such requests hold.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use compcache_engine::Page;
use compcache_engine::store::{InBacking, Verified};

use crate::backing::BackingSwap;
use crate::live::Live;
use crate::print::{Level, print};
use crate::sys::{self, Bio, BioIter};
use crate::transfer::{Away, Collect, Stop, Token, Transfer};

/// Pages of a run, at most: as many as the kernel writes to swap at once.
const RUN: usize = 32;

/// How often a page is read that is written by others each time.
const READS: u32 = 64;

/// A request in the work queue, in memory that the kernel's side keeps for it: it is too large for
/// a stack.
pub(crate) struct Deferral {
    transfer: Transfer,
    started: u64,
    /// Pages that are away.
    run: Run,
}

/// Hands the rest of a request to a work queue; `away` is the page before it, if that is away.
/// May sleep.
pub(crate) fn defer(live: &Live, mut transfer: Transfer, mut away: Option<Away>, started: u64) {
    live.deferred.fetch_add(1, Ordering::Relaxed);
    let mut size = 0;
    let mut new = |may_wait| {
        // SAFETY: a reset waits for as long as `deferred` is not 0, so that `live` stays.
        unsafe { sys::rzk_work_alloc(core::ptr::from_ref(live).cast(), may_wait, &mut size) }
    };
    let mut memory = new(false);
    if memory.is_null() {
        // Those who have it may be waiting for the page that leaves: it comes back first.
        away = away.and_then(|away| transfer.take_back(live, away));
        memory = new(true);
    }
    assert!(
        size >= size_of::<Deferral>(),
        "MEMORY_WORDS of workqueue.c are too few"
    );
    let leaves = matches!(
        away,
        Some(Away {
            token: Token::Leaving(_),
            ..
        })
    );
    let deferral = memory.cast::<Deferral>();
    // SAFETY: the memory is this request's, large enough and aligned to a word. Each field is
    // written, where it stays; a run's tokens are written as they come.
    unsafe {
        (&raw mut (*deferral).run.length).write(0);
        (&raw mut (*deferral).run.first).write(0);
        (&raw mut (*deferral).run.start).write(transfer.cursor);
        (&raw mut (*deferral).transfer).write(transfer);
        (&raw mut (*deferral).started).write(started);
        if let Some(away) = away {
            // The run is empty.
            let _ = (*deferral).run.collect(away);
        }
        sys::rzk_work_queue(memory, !leaves);
    }
}

/// Goes on with a request that [`defer`] has handed over, and says whether it has ended: if not, it
/// must wait for a page in transit and may not here. May sleep.
///
/// # Safety
/// The arguments are those of [`defer`], and this is called until it has ended the request.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_work_run(
    live: *const Live,
    deferral: *mut Deferral,
    may_wait: bool,
) -> bool {
    // SAFETY: a reset waits for deferred requests.
    let live = unsafe { &*live };
    // SAFETY: written by `defer`, and nobody else's.
    let Deferral {
        transfer,
        started,
        run,
    } = unsafe { &mut *deferral };
    let (bio, started) = (transfer.bio, *started);
    let done = match live.backing() {
        Some(backing) => Waiting {
            live,
            backing,
            transfer,
            run,
            may_wait,
        }
        .go_on(),
        None => Err(Failed),
    };
    let error = match done {
        Ok(Progress::Ended) => 0,
        Ok(Progress::MustWait) => return false,
        Err(Failed) => -sys::EIO,
    };
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end_io(bio, error, started) };
    // The last use of `live`.
    live.deferred.fetch_sub(1, Ordering::Release);
    true
}

/// How far a request has come.
#[derive(Debug)]
enum Progress {
    /// To its end.
    Ended,
    /// To a page in transit; nothing of its own is.
    MustWait,
}

/// Something failed, and was logged.
#[derive(Debug)]
struct Failed;

/// Neighbouring pages that are away.
struct Run {
    /// The first `length` of them are there.
    tokens: [MaybeUninit<Token>; RUN],
    length: usize,
    first: u64,
    /// Where the first page lies in the request.
    start: BioIter,
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
        self.tokens[self.length].write(away.token);
        self.length += 1;
        None
    }
}

/// A request that is served in the work queue.
struct Waiting<'a> {
    live: &'a Live,
    backing: &'a BackingSwap,
    transfer: &'a mut Transfer,
    run: &'a mut Run,
    /// Whether it may wait for pages in transit.
    may_wait: bool,
}

impl Waiting<'_> {
    /// Serves the rest of the request.
    fn go_on(mut self) -> Result<Progress, Failed> {
        let mut outcome = Ok(());
        while self.transfer.left > 0 && outcome.is_ok() {
            outcome = match self.transfer.section(self.live, self.run) {
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
                    if !self.may_wait && moved.is_ok() {
                        return Ok(Progress::MustWait);
                    }
                    // SAFETY: nothing is held, and nothing of ours is in transit.
                    unsafe { sys::rzk_usleep() };
                    moved
                }
                Stop::Unaligned | Stop::Failed => Err(Failed),
            };
        }
        // Pages in transit arrive, whatever became of the others.
        let moved = self.move_run();
        outcome.and(moved).map(|()| Progress::Ended)
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
            may_wait: _,
        } = self;
        let (first, bio, write) = (run.first, transfer.bio, transfer.write);
        let code = backing.transfer(write, first, count as u64, bio, &run.start);
        if code != 0 {
            report(live, write, first, count, -code);
        }
        let mut at = run.start;
        let mut outcome = if code == 0 { Ok(()) } else { Err(Failed) };
        for token in &run.tokens[..count] {
            // SAFETY: it is one of the tokens that are there, of which the run is rid now.
            match unsafe { token.assume_init_read() } {
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
    at: &mut BioIter,
    index: u64,
    mut seen: InBacking,
) -> Result<(), Failed> {
    let here = *at;
    for _ in 0..READS {
        *at = here;
        // SAFETY: the cursor is at a page of the request, which was a whole one.
        let mapped = unsafe { sys::rzk_bio_kmap(bio, &here) };
        let page = NonNull::new(mapped.cast::<Page>()).ok_or(Failed)?;
        let verified = live.on_cpu(|worker| {
            // SAFETY: it is mapped, and nobody writes to it.
            let page = unsafe { page.as_ref() };
            live.store().verify(worker.number(), index, seen, page)
        });
        // SAFETY: mapped above.
        unsafe { sys::rzk_bio_kunmap(bio, at, page.as_ptr().cast::<c_void>(), true) };
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
                Stop::InTransit => unsafe { sys::rzk_usleep() },
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
    let (what, level) = if write {
        ("writing", Level::FailedStore)
    } else {
        ("reading", Level::FailedRead)
    };
    let last = first + count as u64 - 1;
    print(
        level,
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
        Level::FailedRead,
        Some(live.number()),
        format_args!(
            "page {index} is corrupt: the backing swap gave back other bytes than were written; \
             check its disk"
        ),
    );
}
