//! One limit of memory for swap devices and mounts together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use compcache_host::keeper::Wake;

/// What the mounts of a process may take beside its swap devices. Swapped pages come first: they
/// have nowhere else to go, while a mount can drop clean pages and write dirty ones out.
///
/// Whoever owns the devices and mounts reports what they take; mounts ask whenever they like, and by
/// asking want to know it again. All numbers are bytes; nothing here waits.
#[derive(Debug, Default)]
pub struct Budget {
    limit: Option<u64>,
    swap: AtomicU64,
    caches: AtomicU64,
    asked: Arc<Wake>,
}

impl Budget {
    /// With a limit for everything together; `None`: mounts have their own limits only.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Budget {
            limit,
            ..Budget::default()
        }
    }

    /// The limit, if there is one.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Woken whenever a mount asks: whoever reports by [`Budget::set_swap`] does so then.
    #[must_use]
    pub fn asked(&self) -> Arc<Wake> {
        Arc::clone(&self.asked)
    }

    /// Reports what the swap devices take now: pools and tables.
    pub fn set_swap(&self, bytes: u64) {
        self.swap.store(bytes, Relaxed);
    }

    /// What the swap devices take, as of the last report.
    #[must_use]
    pub fn swap(&self) -> u64 {
        self.swap.load(Relaxed)
    }

    /// Reports the sum of [`Limits::cache`](crate::Limits::cache) of all mounts.
    pub fn set_caches(&self, bytes: u64) {
        self.caches.store(bytes, Relaxed);
    }

    /// That sum, as of the last report.
    #[must_use]
    pub fn caches(&self) -> u64 {
        self.caches.load(Relaxed)
    }

    /// What all mounts together may take now: what the swap devices leave of the limit;
    /// [`u64::MAX`] without one.
    #[must_use]
    pub fn for_files(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| {
            limit.saturating_sub(self.swap.load(Relaxed))
        })
    }

    /// What one mount with this [`Limits::cache`](crate::Limits::cache) may take now: its share
    /// of [`Budget::for_files`], in proportion to the limits of all mounts, and never more than
    /// its own, as of the last report. The mount's floor is not looked at.
    #[must_use]
    pub fn share(&self, cache: u64) -> u64 {
        let all = u128::from(self.caches.load(Relaxed).max(cache));
        if all == 0 {
            return 0;
        }
        if self.limit.is_some() {
            self.asked.wake();
        }
        let share = u128::from(self.for_files()) * u128::from(cache) / all;
        u64::try_from(share).map_or(cache, |share| share.min(cache))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_each_mount_has_its_own() {
        let budget = Budget::default();
        budget.set_swap(u64::MAX);
        budget.set_caches(300);
        assert_eq!(budget.for_files(), u64::MAX);
        assert_eq!(budget.share(100), 100);
        assert_eq!(budget.share(u64::MAX), u64::MAX);
        assert_eq!(budget.share(0), 0);
    }

    #[test]
    fn mounts_share_what_swap_leaves() {
        let budget = Budget::new(Some(1000));
        assert_eq!(budget.for_files(), 1000);
        // Before the mount itself is counted it gets no more than all of it.
        assert_eq!(budget.share(2000), 1000);
        assert!(budget.asked().take(), "a report is wanted");
        assert!(!budget.asked().take());
        budget.set_caches(800);
        assert_eq!((budget.share(600), budget.share(200)), (600, 200));
        budget.set_swap(800);
        assert_eq!(budget.for_files(), 200);
        assert_eq!((budget.share(600), budget.share(200)), (150, 50));
        budget.set_swap(1001);
        assert_eq!((budget.for_files(), budget.share(600)), (0, 0));
    }
}
