//! One mount, as the daemon knows it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use compcache_files::MountOptions;
use parking_lot::{Condvar, Mutex};

use super::bare;
use crate::protocol::Refusal;
use crate::types::{Loss, MountStatus};
use crate::worker::message::MountId;
use crate::worker::process::Worker;

/// What is called once when a mount is over.
pub(super) type OnEnd = Box<dyn FnOnce() + Send>;

/// A mount, and where it stands.
pub(super) struct Record {
    /// Mounts that were made earlier have smaller ones.
    pub(super) id: MountId,
    /// Which of the shared counts is that of its dirty pages.
    pub(super) count: usize,
    pub(super) options: MountOptions,
    /// Taken out when it is over, which it is once (1 of [`Place`]), and called without any lock of a record.
    on_end: Mutex<Option<OnEnd>>,
    /// Innermost; may be taken under the supervisor's state.
    place: Mutex<Place>,
    /// Notified when its phase changes.
    changed: Condvar,
}

/// Where a mount stands.
///
/// 1. Phases follow one another so, and [`Phase::Ended`] may follow each and is the last:
///    `Making` → `On` → `Orphaned` → `Waiting` → `Making`; or `Making` → `Waiting`, if that fails.
/// 2. While it is `Orphaned` or `Waiting`, there is no `number`; while it is `On`, nothing is `left`.
/// 3. `detached` and `ending` stay set.
struct Place {
    phase: Phase,
    /// Its status, as it was when it was asked for last.
    last: MountStatus,
    /// The number of the mount in the kernel's table.
    number: Option<u64>,
    /// The same of a dead one, which stays until it is made again, so that programs get errors there and do not see
    /// the directory beneath.
    left: Option<u64>,
    /// It was taken out of the tree while in use.
    detached: bool,
    /// It has to end, and is not made again.
    ending: bool,
}

/// The phases of a mount's life.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The process was asked for it.
    Making,
    /// This process serves it.
    On(Arc<Worker>),
    /// Its process has died, and it is being looked at what is lost.
    Orphaned,
    /// It is to be made again.
    Waiting {
        /// How its process has ended.
        why: String,
    },
    /// There is none.
    Ended(End),
}

/// How a mount has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// What was given up.
    pub(super) loss: Option<Arc<Loss>>,
    /// Why something could not be written out.
    pub(super) unwritten: Option<Refusal>,
    /// Its end was said already.
    pub(super) explained: bool,
}

/// What is to be known of a mount whose process has died.
pub(super) struct Orphan {
    pub(super) number: Option<u64>,
    pub(super) detached: bool,
    pub(super) ending: bool,
    /// Bytes of the pages that it held, when its status was asked for last.
    pub(super) held: u64,
}

impl Phase {
    /// Whether another one follows by itself.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Phase::Making | Phase::Orphaned)
    }
}

impl Record {
    pub(super) fn new(id: MountId, count: usize, options: MountOptions, on_end: OnEnd) -> Record {
        Record {
            id,
            count,
            options,
            on_end: Mutex::new(Some(on_end)),
            place: Mutex::new(Place {
                phase: Phase::Making,
                last: MountStatus::default(),
                number: None,
                left: None,
                detached: false,
                ending: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.place.lock().phase.clone()
    }

    /// Its status when it was asked for last.
    pub(super) fn last(&self) -> MountStatus {
        self.place.lock().last.clone()
    }

    /// Notes its status.
    pub(super) fn note(&self, status: &MountStatus) {
        let mut place = self.place.lock();
        if matches!(place.phase, Phase::On(_)) {
            place.last.clone_from(status);
        }
    }

    /// It was taken out of the tree.
    pub(super) fn detach(&self) {
        self.place.lock().detached = true;
    }

    /// It has to end from here on.
    pub(super) fn must_end(&self) {
        self.place.lock().ending = true;
    }

    /// Nobody needs to be notified of its end.
    pub(super) fn drop_on_end(&self) {
        self.on_end.lock().take();
    }

    /// This process serves it now, unless it is over already.
    pub(super) fn made(&self, by: Arc<Worker>, status: MountStatus, number: Option<u64>) {
        let mut place = self.place.lock();
        if matches!(place.phase, Phase::Making) {
            place.phase = Phase::On(by);
        }
        place.last = status;
        place.number = number;
        place.left = None;
        self.changed.notify_all();
    }

    /// If `worker` has served it: it is [`Phase::Orphaned`] from here on, since that has died.
    pub(super) fn orphaned(&self, worker: &Arc<Worker>) -> Option<Orphan> {
        let mut place = self.place.lock();
        match &place.phase {
            Phase::On(by) if Arc::ptr_eq(by, worker) => {}
            _ => return None,
        }
        let held = place.last.pages * 4096;
        place.last = bare(&place.last);
        place.phase = Phase::Orphaned;
        Some(Orphan {
            number: place.number.take(),
            detached: place.detached,
            ending: place.ending,
            held,
        })
    }

    /// The dead mount with this number stays until it is made again.
    pub(super) fn leave(&self, number: u64) {
        self.place.lock().left = Some(number);
    }

    /// The dead mount that stays, if one does.
    pub(super) fn left(&self) -> Option<u64> {
        self.place.lock().left
    }

    /// The dead mount that has stayed, which the caller sees to from here on.
    pub(super) fn take_left(&self) -> Option<u64> {
        self.place.lock().left.take()
    }

    /// If it waits: it is being made from here on; why it has waited.
    pub(super) fn begin_remount(&self) -> Option<String> {
        let mut place = self.place.lock();
        match mem::replace(&mut place.phase, Phase::Making) {
            Phase::Waiting { why } => Some(why),
            other => {
                place.phase = other;
                None
            }
        }
    }

    /// It is to be made again, unless it is over already.
    pub(super) fn wait_for_remount(&self, why: String) {
        let mut place = self.place.lock();
        if !matches!(place.phase, Phase::Ended(_)) {
            place.phase = Phase::Waiting { why };
        }
        self.changed.notify_all();
    }

    /// It is over; whoever has it is notified. Whether it was not over before.
    pub(super) fn end(&self, end: End) -> bool {
        {
            let mut place = self.place.lock();
            if matches!(place.phase, Phase::Ended(_)) {
                return false;
            }
            place.phase = Phase::Ended(end);
            self.changed.notify_all();
        }
        let on_end = self.on_end.lock().take();
        if let Some(on_end) = on_end {
            on_end();
        }
        true
    }

    /// Waits for as long as its phase is as `still` says, but not longer than `within`.
    pub(super) fn wait_while(&self, within: Option<Duration>, still: impl Fn(&Phase) -> bool) {
        let mut place = self.place.lock();
        let condition = |place: &mut Place| still(&place.phase);
        match within {
            Some(within) => {
                self.changed.wait_while_for(&mut place, condition, within);
            }
            None => self.changed.wait_while(&mut place, condition),
        }
    }
}
