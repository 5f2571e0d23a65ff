//! Requests that wait for the backing swap.
//!
//! Whoever submits a request serves it until a page must go to the backing swap, come from there,
//! or is on its way. The rest is handed to threads of the backing swap's (`kernel/shim/worker.c`): they
//! serve what is in memory, collect neighbouring pages into *runs*, and have each run moved with as few
//! bios as its extents allow. They do not wait for that: its end hands the request to them once more. So
//! many requests are under way at once; nobody waits with a slot or an arena held.
//!
//! A page that leaves is in transit from before its first byte moves until its run has arrived: a
//! free marks it, another read or write of it waits for that. So that somebody always gets on,
//! whoever has pages in transit waits neither for those of others, nor for his turn behind requests
//! that do (they have a thread of their own), nor for memory that such requests hold.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use compcache_engine::Page;
use compcache_engine::store::{InBacking, Verified};

use crate::live::Live;
use crate::print::{Level, print};
use crate::sys::{self, Bio, BioIter};
use crate::transfer::{Away, Collect, Stop, Token, Transfer};

/// Pages of a run, at most: as many as the kernel writes to swap at once.
const RUN: usize = 32;

/// How often a page is read that is written by others each time.
const READS: u32 = 64;

/// A request that was handed over, in memory that the kernel's side keeps for it: it is too large for
/// a stack.
pub(crate) struct Deferral {
    transfer: Transfer,
    started: u64,
    /// Pages that are away.
    run: Run,
    /// Whether the run is being moved.
    moves: bool,
    /// The page after the run, if that is away, too.
    after: Option<Away>,
    /// Whether something failed, and was logged: no further page is served.
    failed: bool,
}

const _: () = assert!(size_of::<Deferral>() <= sys::WORK_MEMORY * 8);

/// Hands the rest of a request to a thread; `away` is the page before it, if that is away.
/// May sleep.
pub(crate) fn defer(live: &Live, mut transfer: Transfer, mut away: Option<Away>, started: u64) {
    let Some(backing) = live.backing() else {
        // Without one no page is away, and none in transit.
        // SAFETY: it was not ended.
        return unsafe { sys::rzk_bio_end_io(transfer.bio, -sys::EIO, started) };
    };
    live.deferred.fetch_add(1, Ordering::Relaxed);
    let (write, mut size) = (transfer.write, 0);
    let mut new = |may_wait| {
        let live = core::ptr::from_ref(live).cast();
        // SAFETY: a reset waits for as long as `deferred` is not 0, so that `live` stays.
        unsafe { sys::rzk_work_alloc(backing.as_ptr(), live, write, may_wait, &mut size) }
    };
    let mut memory = new(false);
    if memory.is_null() {
        // Those who have it may be waiting for the page that leaves: it comes back first.
        away = away.and_then(|away| transfer.take_back(live, away));
        memory = new(true);
    }
    assert!(
        size >= size_of::<Deferral>(),
        "MEMORY_WORDS of worker.c are too few"
    );
    let in_transit = matches!(
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
        (&raw mut (*deferral).moves).write(false);
        (&raw mut (*deferral).after).write(None);
        (&raw mut (*deferral).failed).write(false);
        if let Some(away) = away {
            // The run is empty.
            let _ = (*deferral).run.collect(away);
        }
        sys::rzk_work_queue(memory, in_transit);
    }
}

/// Goes on with a request that [`defer`] has handed over, and says what becomes of it next
/// (`sys::WORK_*`): it has ended; it must wait for a page in transit; or its `run` shall be moved, and how
/// that went be told by the next call (0 or a negative error number). May sleep.
///
/// # Safety
/// The first two arguments are those of [`defer`], there is a place at `run`, and this is called until
/// it has ended the request, once at a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_work_run(
    live: *const Live,
    deferral: *mut Deferral,
    moved: i32,
    run: *mut sys::Run,
) -> u32 {
    // SAFETY: a reset waits for deferred requests.
    let live = unsafe { &*live };
    // SAFETY: written by `defer`, and nobody else's.
    let deferral = unsafe { &mut *deferral };
    let (bio, started) = (deferral.transfer.bio, deferral.started);
    let error = match deferral.go_on(live, moved) {
        Progress::MustWait => return sys::WORK_WAITS,
        Progress::MustMove => {
            // SAFETY: there is a place.
            unsafe { run.write(deferral.begin_move()) };
            return sys::WORK_MOVES;
        }
        Progress::Ended if !deferral.failed => 0,
        Progress::Ended => -sys::EIO,
    };
    // SAFETY: it was not ended.
    unsafe { sys::rzk_bio_end_io(bio, error, started) };
    // The last use of `live`.
    live.deferred.fetch_sub(1, Ordering::Release);
    sys::WORK_ENDED
}

/// How far a request has come.
#[derive(Debug)]
enum Progress {
    /// To its end.
    Ended,
    /// To a page in transit; nothing of its own is.
    MustWait,
    /// To where its run must be moved before it can go on.
    MustMove,
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

impl Deferral {
    /// Serves the rest of the request as far as it can be without waiting: for its run to be moved (if it
    /// was, `moved` says how that went), or for a page in transit.
    fn go_on(&mut self, live: &Live, moved: i32) -> Progress {
        if core::mem::take(&mut self.moves) {
            self.failed |= self.arrive(live, moved).is_err();
            if let Some(away) = self.after.take() {
                // The run is empty.
                let _ = self.run.collect(away);
            }
        }
        while self.transfer.left > 0 && !self.failed {
            match self.transfer.section(live, &mut self.run) {
                Stop::Pause => {}
                Stop::Away(away) => {
                    self.after = Some(away);
                    return Progress::MustMove;
                }
                Stop::NoRoom if self.run.length > 0 => {
                    // The engine has counted a failure, and the page comes again.
                    live.retried.fetch_add(1, Ordering::Relaxed);
                    return Progress::MustMove;
                }
                Stop::NoRoom => self.failed = !self.transfer.make_room(live),
                Stop::InTransit if self.run.length > 0 => return Progress::MustMove,
                Stop::InTransit => return Progress::MustWait,
                Stop::Unaligned | Stop::Failed => self.failed = true,
            }
        }
        // Pages in transit arrive, whatever became of the others.
        match self.run.length {
            0 => Progress::Ended,
            _ => Progress::MustMove,
        }
    }

    /// The run, which is not empty, as the kernel's side moves it.
    fn begin_move(&mut self) -> sys::Run {
        self.moves = true;
        sys::Run {
            request: self.transfer.bio,
            from: &raw const self.run.start,
            first: self.run.first,
            count: self.run.length as u64,
        }
    }

    /// Tells the store what became of the run's pages, and empties it. `code` says how moving it went.
    fn arrive(&mut self, live: &Live, code: i32) -> Result<(), Failed> {
        let Deferral { transfer, run, .. } = self;
        let count = core::mem::take(&mut run.length);
        let (first, bio, write) = (run.first, transfer.bio, transfer.write);
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
                    outcome = outcome.and(check(live, bio, &mut at, index, seen));
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
        let backing = live.backing().ok_or(Failed)?;
        let code = backing.reread(index, bio, &here);
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
