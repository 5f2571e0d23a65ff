//! The death of the process that serves mounts: what is lost with it, and mounts that are made again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use compcache_engine::disk::PAGE;
use compcache_host::Background;

use super::record::{End, Orphan, Phase, Record};
use super::{NotMade, Supervisor};
use crate::mounts::dead;
use crate::protocol::{ErrorCode, Refusal};
use crate::retry::{self, SHORTEST};
use crate::types::Loss;
use crate::worker::process::{Death, Worker};

/// One that has run for so long did not die because of its start.
const STEADY: Duration = Duration::from_secs(10);
/// How long a mount may take to be made again before the next one is begun beside it.
const TURN: Duration = Duration::from_secs(10);

/// How often the process has died soon after its start, without a break.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deaths(u32);

impl Deaths {
    /// One more, at this age.
    fn count(&mut self, age: Duration) {
        if age >= STEADY {
            self.0 = 0;
        }
        self.0 = self.0.saturating_add(1);
    }

    /// How long to wait before the next start: not at all after the first one.
    fn pause(self) -> Duration {
        match self.0.checked_sub(2) {
            None => Duration::ZERO,
            Some(more) => retry::pause(more),
        }
    }
}

impl Supervisor {
    /// The process has died, and everything that it has served with it.
    pub(super) fn died(self: &Arc<Self>, worker: &Arc<Worker>, death: &Death, age: Duration) {
        let why = format!("the mount process (pid {}) {}", worker.pid(), death.how);
        let orphans: Vec<(Arc<Record>, Orphan)> = {
            let mut state = self.state.lock();
            // Both at once: 3 of `State`.
            state.worker.take_if(|current| Arc::ptr_eq(current, worker));
            state.deaths.count(age);
            let records = state.records.values();
            records
                .filter_map(|record| Some((Arc::clone(record), record.orphaned(worker)?)))
                .collect()
        };
        self.changed.notify_all();
        tracing::error!(
            "{why}: {} mount(s) of it are over; swap devices do not notice",
            orphans.len()
        );
        // Those that lie in another one, or show it, first.
        for (record, orphan) in orphans.iter().rev() {
            let Some(number) = orphan.number.filter(|_| !orphan.detached) else {
                continue;
            };
            let stays = is_remounted(record, orphan) && !covers_its_source(record);
            if stays && (death.is_gone || abort(record, number)) {
                record.leave(number);
            } else {
                take_out(record, number);
            }
        }
        for (record, orphan) in &orphans {
            self.account(record, orphan, &why);
        }
        self.remount_all();
    }

    /// Says what is lost of a mount whose process has died, and whether it is to be made again.
    fn account(&self, record: &Arc<Record>, orphan: &Orphan, why: &str) {
        let path = &record.options.mountpoint;
        let dirty = self.dirty.get(record.count);
        let dirty = dirty.map_or(0, |pages| pages.swap(0, Ordering::Relaxed) * PAGE);
        let is_ram = record.options.source.is_none();
        let lost = match (is_ram, dirty) {
            (true, _) => Some(format!(
                "{}: all files of this --ram mount are lost: {why}",
                path.display()
            )),
            (false, 0) => None,
            (false, bytes) => Some(format!(
                "{}: up to {bytes} bytes that SOURCE had not taken yet are lost: {why}",
                path.display()
            )),
        };
        let bytes = if is_ram { orphan.held } else { dirty };
        let mut end = End {
            explained: true,
            ..End::default()
        };
        match lost {
            // Whoever ends it says so.
            Some(text) if orphan.ending => {
                tracing::error!("{text}");
                end.loss = Some(loss(record, why, bytes));
            }
            Some(text) => {
                self.lossy.store(true, Ordering::Relaxed);
                tracing::error!("{text}");
                self.journal.lock().lost(text);
            }
            None => {}
        }
        if is_remounted(record, orphan) {
            record.wait_for_remount(why.to_owned());
        } else {
            self.finish(record, end);
        }
    }

    /// Gives a mount up whose process does not end.
    pub(super) fn abandon(&self, record: &Arc<Record>) {
        let dirty = self.dirty.get(record.count);
        let dirty = dirty.map_or(0, |pages| pages.load(Ordering::Relaxed) * PAGE);
        let lost = match record.options.source {
            None => record.last().pages * PAGE,
            Some(_) => dirty,
        };
        let why = "its process neither answers nor ends";
        let end = End {
            loss: (lost > 0).then(|| loss(record, why, lost)),
            ..End::default()
        };
        self.finish(record, end);
    }

    /// Makes the mounts again that wait for it, one after the other as they were made first.
    fn remount_all(self: &Arc<Self>) {
        let _one = self.remaking.lock();
        let mut failed = false;
        loop {
            let waiting = self.waiting_until_next_try(failed);
            if waiting.is_empty() {
                return;
            }
            failed = false;
            if let Err(e) = self.worker() {
                tracing::error!("{}", NotMade::Start(e));
                self.state.lock().deaths.count(Duration::ZERO);
                failed = true;
                continue;
            }
            for record in waiting {
                let Some(why) = record.begin_remount() else {
                    continue;
                };
                let (supervisor, again) = (Arc::clone(self), Arc::clone(&record));
                let make = move || supervisor.remount_one(&again, why);
                // By a thread: its source may not answer.
                match Background::start("mounts/again", make, || ()) {
                    Ok(thread) => thread.detach(),
                    Err(e) => {
                        tracing::error!("no thread that mounts again: {e}");
                        record.wait_for_remount(e.to_string());
                    }
                }
                record.wait_while(Some(TURN), |phase| matches!(phase, Phase::Making));
                failed = matches!(record.phase(), Phase::Waiting { .. });
                if failed {
                    // The rest may lie in that one.
                    break;
                }
            }
        }
    }

    /// The mounts that wait, once it is time to make them again.
    fn waiting_until_next_try(&self, failed: bool) -> Vec<Arc<Record>> {
        let mut state = self.state.lock();
        let least = if failed { SHORTEST } else { Duration::ZERO };
        let begun = Instant::now();
        let mut logged = None;
        loop {
            // The death that has made the last try fail may be counted only now.
            let pause = state.deaths.pause().max(least);
            let until = begun + pause;
            let waits = |record: &&Arc<Record>| matches!(record.phase(), Phase::Waiting { .. });
            let waiting: Vec<_> = state.records.values().filter(waits).cloned().collect();
            if waiting.is_empty() || state.stopped || Instant::now() >= until {
                state.next_try = None;
                return if state.stopped { Vec::new() } else { waiting };
            }
            if logged.replace(pause) != Some(pause) {
                state.next_try = Some(until);
                tracing::warn!(
                    "the mount process died {} times in a row soon after its start: the next one is started \
                     in {} s",
                    state.deaths.0,
                    pause.as_secs()
                );
            }
            self.changed.wait_until(&mut state, until);
        }
    }

    fn remount_one(self: &Arc<Self>, record: &Arc<Record>, why: String) {
        let path = record.options.mountpoint.display();
        let is_covered = |number| dead::is_covered(&record.options.mountpoint, number);
        let made = if record.left().is_some_and(is_covered) {
            let message = "its path leads to another file system now";
            Err(NotMade::Refused(Refusal::new(ErrorCode::Ebusy, message)))
        } else {
            self.make(record)
        };
        match made {
            Ok(()) => {
                let text = format!(
                    "{path}: mounted again, since {why}; files that were open there must be reopened"
                );
                tracing::warn!("{text}");
                self.journal.lock().happened(text);
            }
            Err(NotMade::Refused(refusal)) => {
                let text = format!(
                    "{path}: is dead, since {why}, and could not be mounted again: {refusal}; unmount it \
                     (compcache umount, or umount -l), and mount it again"
                );
                tracing::error!("{text}");
                self.journal.lock().lost(text);
                // A dead mount stays: programs get errors there, not the directory beneath.
                let _ = record.take_left();
                let end = End {
                    explained: true,
                    ..End::default()
                };
                self.finish(record, end);
            }
            Err(error) => {
                tracing::error!("{path}: {error}");
                // The process may have come so far as to mount, and a thread of it may wait for that mount: it is not
                // asked whether it is dead, but made so.
                if let Some(number) = dead::number(&record.options.mountpoint)
                    && abort(record, number)
                {
                    record.leave(number);
                }
                record.wait_for_remount(why);
            }
        }
    }

    /// What a user should know of mounts that wait to be made again.
    pub(super) fn waiting_warning(&self) -> Option<String> {
        let state = self.state.lock();
        let waits = |record: &&Arc<Record>| matches!(record.phase(), Phase::Waiting { .. });
        let count = state.records.values().filter(waits).count();
        let left = state.next_try?.saturating_duration_since(Instant::now());
        Some(format!(
            "the mount process died {} times in a row soon after its start: {count} mount(s) wait for the next \
             one, which is started in {} s; the log says how it died",
            state.deaths.0,
            left.as_secs() + 1
        ))
    }
}

/// What is lost of a mount, of which nobody knows the files.
fn loss(record: &Record, reason: &str, bytes: u64) -> Arc<Loss> {
    Arc::new(Loss {
        mountpoint: record.options.mountpoint.clone(),
        reason: reason.to_owned(),
        files: 0,
        bytes,
    })
}

/// Whether a mount is made again whose process has died.
fn is_remounted(record: &Record, orphan: &Orphan) -> bool {
    record.options.source.is_some() && !orphan.detached && !orphan.ending
}

/// Whether its source is only to be seen without it.
fn covers_its_source(record: &Record) -> bool {
    let source = record.options.source.as_deref();
    source.is_some_and(|source| source.starts_with(&record.options.mountpoint))
}

/// Ends the connection of a mount to a process that does not end; whether that worked.
fn abort(record: &Record, number: u64) -> bool {
    let path = &record.options.mountpoint;
    let aborted = dead::abort(path, number);
    if let Err(e) = &aborted {
        tracing::error!("{}: its connection cannot be ended: {e}", path.display());
    }
    aborted.is_ok()
}

/// Takes a dead mount out of the tree, and one that it was made on top of.
pub(super) fn take_out(record: &Record, number: u64) {
    let path = &record.options.mountpoint;
    if let Err(e) = dead::take_out(path, number) {
        tracing::error!(
            "{}: a mount whose process has died cannot be removed: {e}; try `umount -l`",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_again_at_once_is_started_ever_later() {
        let mut deaths = Deaths::default();
        let mut pauses = |ages: &[u64]| -> Vec<u64> {
            let mut died = |age: &u64| {
                deaths.count(Duration::from_secs(*age));
                deaths.pause().as_secs()
            };
            ages.iter().map(&mut died).collect()
        };
        assert_eq!(pauses(&[3600, 3600]), [0, 0]);
        assert_eq!(pauses(&[0; 10]), [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(pauses(&[10, 9, 10]), [0, 1, 0]);
    }
}
