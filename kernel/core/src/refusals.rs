//! Writes that failed for lack of room, and whether the keeper knows.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Writes tell it that there was no room for them; the keeper asks it ([`exhaustion`](crate::exhaustion)).
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// One was refused since this was last asked.
    refused: AtomicBool,
    /// The keeper looks, and need not be woken.
    watched: AtomicBool,
}

impl Refusals {
    /// A write was refused. Whether to wake the keeper for it.
    #[cold]
    pub(crate) fn add(&self) -> bool {
        !self.refused.swap(true, SeqCst) && !self.watched.load(SeqCst)
    }

    /// Whether a write was refused since this was last asked.
    pub(crate) fn take(&self) -> bool {
        self.refused.swap(false, SeqCst)
    }

    /// Notes whether the keeper goes on looking, and returns whether it has to: a write that was
    /// refused before the note did not wake it.
    pub(crate) fn set_watched(&self, watched: bool) -> bool {
        self.watched.store(watched, SeqCst);
        let missed = !watched && self.refused.load(SeqCst);
        if missed {
            self.watched.store(true, SeqCst);
        }
        watched || missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_wakes_the_keeper_once_unless_it_looks_anyway() {
        let refusals = Refusals::default();
        assert!(refusals.add());
        assert!(!refusals.add());
        assert!(refusals.take() && !refusals.take());
        assert!(refusals.set_watched(true));
        assert!(!refusals.add());
        // One came before the keeper has noted that it no longer looks.
        assert!(refusals.set_watched(false) && refusals.take());
        assert!(!refusals.set_watched(false));
        assert!(refusals.add());
    }
}
