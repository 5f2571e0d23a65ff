//! How large the compressed area shall be: what it saves against what it costs.
//!
//! After Wilson, Kaplan and Smaragdakis, "The Case for Compressed Caching in Virtual Memory
//! Systems" (USENIX 1999): memory that holds compressed pages is taken from the kernel's page
//! cache, which would hold fewer pages there, but give them at once.
//!
//! A page that is accessed was last accessed some *distance* ago, counted in accesses since. The page cache has dropped it meanwhile. Had it been larger by what the pool takes, it
//! would have held the page if the distance is below its own size and that taken together: then the
//! pool has cost the time of a hit. Otherwise it has saved the time of a read from SOURCE. The page
//! cache's own size is at most what the system reports, and at most the smallest distances that
//! are seen, since no page comes back before it was dropped.

/// Time of a read from SOURCE and of a hit, until they are measured, in nanoseconds.
const MISS_NS: u64 = 100_000;
const HIT_NS: u64 = 20_000;

/// Weight of what was seen before, when another tenth of a second has gone by.
const DECAY: (u64, u64) = (15, 16);

/// The sum of both sides, in nanoseconds, below which they say nothing: a few hits.
const NOISE: u64 = 1_000_000;

/// Steps in which the target changes, as parts of the limit.
const SHRINK_STEPS: u64 = 32;
const GROW_STEPS: u64 = 8;

/// Costs and savings of late, and the size that follows from them.
#[derive(Debug)]
pub(super) struct Balance {
    /// Pages that the page cache holds, as far as distances show it.
    resident: u32,
    /// Pages that the page cache holds, as the system reports it.
    pub(super) page_cache: u32,
    saved: u64,
    cost: u64,
    pub(super) miss_ns: u64,
    pub(super) hit_ns: u64,
    pub(super) target: u64,
}

impl Balance {
    /// Nothing seen yet; the target is `target` bytes.
    pub(super) const fn new(target: u64) -> Self {
        Balance {
            resident: u32::MAX,
            page_cache: u32::MAX,
            saved: 0,
            cost: 0,
            miss_ns: MISS_NS,
            hit_ns: HIT_NS,
            target,
        }
    }

    fn saving(&self) -> u64 {
        self.miss_ns.saturating_sub(self.hit_ns)
    }

    /// A page that was held was accessed, `distance` accesses after the last time; the pool takes as
    /// much memory as `pool` pages.
    pub(super) fn hit(&mut self, distance: u32, pool: u32) {
        if distance < self.resident {
            self.resident = distance;
        } else {
            // Follows a page cache that grows, slowly: most distances are longer than its size.
            self.resident += (distance - self.resident) / 4096 + 1;
        }
        if distance < self.resident.min(self.page_cache).saturating_add(pool) {
            self.cost += self.hit_ns;
        } else {
            self.saved += self.saving();
        }
    }

    /// A page that had a shadow was accessed: a larger pool would have held it.
    pub(super) fn refault(&mut self) {
        self.saved += self.saving();
    }

    /// The target for the next tenth of a second, from `floor` to `limit`, when so many bytes
    /// are in use.
    pub(super) fn next(&mut self, floor: u64, limit: u64, used: u64) -> u64 {
        let mut target = self.target;
        if self.saved + self.cost > NOISE {
            if self.cost > self.saved {
                target = target.min(used).saturating_sub(limit / SHRINK_STEPS);
            } else if used > target / 2 {
                target = target.saturating_add(limit / GROW_STEPS);
            }
        }
        self.saved = self.saved * DECAY.0 / DECAY.1;
        self.cost = self.cost * DECAY.0 / DECAY.1;
        self.target = target.clamp(floor.min(limit), limit);
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1 << 30;
    const FLOOR: u64 = 1 << 20;

    #[test]
    fn it_grows_while_it_saves_and_shrinks_while_it_costs() {
        let mut balance = Balance::new(LIMIT / 4);
        balance.page_cache = 5000;
        let tenth = |balance: &mut Balance, distance| {
            (0..1000).for_each(|_| balance.hit(distance, 1000));
            balance.next(FLOOR, LIMIT, balance.target)
        };
        tenth(&mut balance, 5000);
        (0..20).for_each(|_| {
            tenth(&mut balance, 50_000);
        });
        assert_eq!(balance.target, LIMIT, "far hits save reads");
        (0..90).for_each(|_| {
            tenth(&mut balance, 5100);
        });
        assert_eq!(balance.target, FLOOR, "near hits cost time");
        (0..10_000).for_each(|_| balance.refault());
        assert!(
            balance.next(FLOOR, LIMIT, FLOOR) > FLOOR,
            "refaults ask for more"
        );
    }

    #[test]
    fn it_stays_where_nothing_happens() {
        let mut balance = Balance::new(LIMIT / 4);
        balance.hit(1, 1);
        (0..100).for_each(|_| {
            balance.next(FLOOR, LIMIT, 0);
        });
        assert_eq!(balance.target, LIMIT / 4);
        assert_eq!(
            balance.next(FLOOR, FLOOR / 2, 0),
            FLOOR / 2,
            "a limit below the floor"
        );
    }
}
