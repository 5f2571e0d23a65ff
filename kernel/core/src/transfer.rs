//! A request that is under way, page by page.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use compcache_engine::store::{
    InBacking, Loaded, ReadError, Staged, Transit, Uncommitted, WriteError, Written,
};
use compcache_engine::{Page, Worker};

use crate::codecs::KernelCodecs;
use crate::live::Live;
use crate::print::{Level, print};
use crate::sys::{self, Bio, BioIter};

/// Pages that are read or written with preemption off, at most: some 50 µs.
const SECTION: usize = 8;

/// How often a write that found no room is tried again, once there was some.
const TRIES: u32 = 16;

/// The pages that are left of a request.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) bio: *mut Bio,
    /// Where the next page lies in it.
    pub(crate) cursor: BioIter,
    /// The next page's index.
    pub(crate) index: u64,
    /// Pages that are left.
    pub(crate) left: u64,
    pub(crate) write: bool,
    tries: u32,
}

/// A page whose bytes move from or to the backing swap.
#[derive(Debug)]
pub(crate) struct Away {
    /// Where it lies in the request.
    pub(crate) at: BioIter,
    /// What the store wants back once they have.
    pub(crate) token: Token,
}

/// What the store wants back.
#[derive(Debug)]
pub(crate) enum Token {
    /// The page leaves.
    Leaving(Transit),
    /// The page was found there.
    Found { index: u64, seen: InBacking },
}

impl Token {
    /// The page.
    pub(crate) fn index(&self) -> u64 {
        match self {
            Token::Leaving(transit) => transit.index(),
            Token::Found { index, .. } => *index,
        }
    }
}

/// Who takes pages that are away, so that a section can go on.
pub(crate) trait Collect {
    /// Takes one, or gives it back.
    fn collect(&mut self, away: Away) -> Option<Away>;
}

/// Nobody: the section ends at the first such page.
impl Collect for () {
    fn collect(&mut self, away: Away) -> Option<Away> {
        Some(away)
    }
}

/// Why a section ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was long enough, or the request is over.
    Pause,
    /// There is no room for the next page.
    NoRoom,
    /// The page before the next one is away, and nobody has taken it.
    Away(Away),
    /// The next page is on its way to the backing swap.
    InTransit,
    /// The next page is no whole page.
    Unaligned,
    /// The next page failed.
    Failed,
}

/// What became of one page.
enum Outcome {
    Done,
    Away(Token),
    Stop(Stop),
}

impl Transfer {
    pub(crate) fn new(bio: *mut Bio, cursor: BioIter, first: u64, pages: u64, write: bool) -> Self {
        Transfer {
            bio,
            cursor,
            index: first,
            left: pages,
            write,
            tries: 0,
        }
    }

    /// Serves pages with preemption off, until the section is over. Pages that are away are handed
    /// to `collector` and passed.
    pub(crate) fn section(&mut self, live: &Live, collector: &mut impl Collect) -> Stop {
        live.on_cpu(|worker| {
            // If there was no room for all of a batch, each page is tried by itself.
            let batch = self.write && self.left > 1 && live.backing().is_none();
            if batch && self.write_batch(live, worker) {
                return Stop::Pause;
            }
            for _ in 0..SECTION {
                if self.left == 0 {
                    break;
                }
                let at = self.cursor;
                // SAFETY: there are `left` pages from the cursor on.
                let mapped = unsafe { sys::rzk_bio_kmap(self.bio, &at) };
                let Some(page) = NonNull::new(mapped.cast::<Page>()) else {
                    return Stop::Unaligned;
                };
                // SAFETY: a whole page is mapped, and is ours until the request ends.
                let outcome = unsafe { self.page(live, worker, page) };
                // SAFETY: mapped above.
                unsafe {
                    let page = page.as_ptr().cast::<c_void>();
                    sys::rzk_bio_kunmap(self.bio, &mut self.cursor, page, !self.write);
                }
                let token = match outcome {
                    Outcome::Done => None,
                    Outcome::Away(token) => Some(token),
                    Outcome::Stop(stop) => {
                        self.cursor = at;
                        return stop;
                    }
                };
                self.index += 1;
                self.left -= 1;
                self.tries = 0;
                let away = token.and_then(|token| collector.collect(Away { at, token }));
                if let Some(away) = away {
                    return Stop::Away(away);
                }
            }
            Stop::Pause
        })
    }

    /// Writes pages as one batch, and says whether all that were tried are stored; else the next page
    /// is the first that is not.
    fn write_batch(&mut self, live: &Live, worker: &mut Worker<KernelCodecs>) -> bool {
        let mut places = [self.cursor; SECTION];
        let mut tried = 0;
        while tried < SECTION && (tried as u64) < self.left {
            let here = self.cursor;
            // SAFETY: there are as many pages from the cursor on.
            let mapped = unsafe { sys::rzk_bio_kmap(self.bio, &here) };
            let Some(page) = NonNull::new(mapped.cast::<Page>()) else {
                break;
            };
            let index = self.index + tried as u64;
            // SAFETY: a whole page is mapped, and is ours until the request ends.
            let staged = live
                .store()
                .stage_page(worker, index, unsafe { page.as_ref() });
            // SAFETY: mapped above.
            unsafe {
                let page = page.as_ptr().cast::<c_void>();
                sys::rzk_bio_kunmap(self.bio, &mut self.cursor, page, false);
            }
            if !matches!(staged, Ok(Staged::Queued)) {
                self.cursor = here;
                break;
            }
            places[tried] = here;
            tried += 1;
        }
        let failed = match live.store().commit(worker) {
            Ok(()) => 0,
            Err(Uncommitted { pages }) => pages,
        };
        let stored = tried - failed;
        if failed > 0 {
            self.cursor = places[stored];
        }
        self.index += stored as u64;
        self.left -= stored as u64;
        if stored > 0 {
            self.tries = 0;
        }
        failed == 0 && stored > 0
    }

    /// Reads or writes the page at the cursor.
    ///
    /// # Safety
    /// `page` is it, and nobody else uses it.
    #[inline]
    unsafe fn page(
        &self,
        live: &Live,
        worker: &mut Worker<KernelCodecs>,
        mut page: NonNull<Page>,
    ) -> Outcome {
        if self.write {
            // SAFETY: by this function's contract.
            let page = unsafe { page.as_ref() };
            match live.store().write_page(worker, self.index, page) {
                Ok(Written::Stored) => Outcome::Done,
                Ok(Written::ToBacking(transit)) => Outcome::Away(Token::Leaving(transit)),
                Ok(Written::InTransit) => Outcome::Stop(Stop::InTransit),
                Err(WriteError::NoSpace { .. }) => Outcome::Stop(Stop::NoRoom),
                Err(_) => Outcome::Stop(Stop::Failed),
            }
        } else {
            let index = self.index;
            // SAFETY: by this function's contract.
            let page = unsafe { page.as_mut() };
            match live.store().read_page(worker, index, page) {
                Ok(Loaded::Restored) => Outcome::Done,
                Ok(Loaded::InBacking(seen)) => Outcome::Away(Token::Found { index, seen }),
                Ok(Loaded::InTransit) => Outcome::Stop(Stop::InTransit),
                Err(error) => {
                    report_read(live, &error);
                    Outcome::Stop(Stop::Failed)
                }
            }
        }
    }

    /// Takes back the page before the next one, which has begun to leave, so that it is the next again;
    /// gives back one that was found away, which nobody waits for.
    pub(crate) fn take_back(&mut self, live: &Live, away: Away) -> Option<Away> {
        match away.token {
            Token::Leaving(transit) => {
                live.on_cpu(|worker| live.store().arrive(worker.number(), transit, false));
                // The engine has counted a failure, and the page comes again.
                live.retried.fetch_add(1, Relaxed);
                self.cursor = away.at;
                self.index -= 1;
                self.left += 1;
                None
            }
            Token::Found { .. } => Some(away),
        }
    }

    /// After [`Stop::NoRoom`]: makes room, and says whether to try again. May sleep.
    pub(crate) fn make_room(&mut self, live: &Live) -> bool {
        if self.tries < TRIES && live.store().top_up() {
            self.tries += 1;
            // The engine has counted a failure.
            live.retried.fetch_add(1, Relaxed);
            return true;
        }
        report_full(live, self.index);
        if live.refusals.add() {
            live.store().host().keeper.wake();
        }
        false
    }
}

#[cold]
fn report_read(live: &Live, error: &ReadError) {
    print(
        Level::FailedRead,
        Some(live.number()),
        format_args!("reading failed: {error}"),
    );
}

#[cold]
fn report_full(live: &Live, index: u64) {
    print(
        Level::FailedStore,
        Some(live.number()),
        format_args!(
            "no room for page {index}: the memory limit is reached or the system has no more \
             memory; raise mem_limit, or give a backing swap"
        ),
    );
}
