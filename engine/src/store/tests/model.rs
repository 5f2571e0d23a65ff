//! Random sequences of everything that a store can do, against a map of pages.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::slot::Entry;

const PAGES: u64 = 96;

#[derive(Clone, Debug)]
enum Op {
    Write {
        first: u64,
        kinds: Vec<usize>,
        seed: u64,
    },
    Read {
        first: u64,
        count: usize,
    },
    Discard {
        first: u64,
        count: u64,
    },
    Keep,
    Recompress {
        codec: usize,
        age: u8,
        epochs: usize,
    },
    Codec(usize),
    FailBackingWrites(bool),
    FailBackingReads(bool),
    FailMemory(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..PAGES + 2, prop::collection::vec(0..6usize, 1..9), any::<u64>())
            .prop_map(|(first, kinds, seed)| Op::Write { first, kinds, seed }),
        4 => (0..PAGES + 2, 1..12usize).prop_map(|(first, count)| Op::Read { first, count }),
        2 => (0..PAGES + 2, 1..20u64).prop_map(|(first, count)| Op::Discard { first, count }),
        1 => Just(Op::Keep),
        2 => (0..8usize, 1..4u8, 1..4usize)
            .prop_map(|(codec, age, epochs)| Op::Recompress { codec, age, epochs }),
        1 => (0..4usize).prop_map(Op::Codec),
        1 => any::<bool>().prop_map(Op::FailBackingWrites),
        1 => any::<bool>().prop_map(Op::FailBackingReads),
        1 => any::<bool>().prop_map(Op::FailMemory),
    ]
}

/// A store and what it should hold. `None` in `expect` is a page whose write to the backing
/// store failed half-way: it may read as an error, but not as something else.
struct Model {
    store: TestStore,
    worker: Worker,
    backing: Option<MemoryBacking>,
    memlimit: Option<u64>,
    expect: HashMap<u64, Option<Box<Page>>>,
}

impl Model {
    fn new(backing: bool, memlimit: Option<u64>) -> Self {
        let backing = backing.then(MemoryBacking::default);
        let access = backing.clone().into();
        let store = Store::try_new(
            TestHost::default(),
            HeapFrames::new(12),
            HeapSlots::new(PAGES as usize),
            access,
            StoreConfig { memlimit, ..CONFIG },
        )
        .unwrap();
        let worker = store.try_worker().unwrap();
        Model {
            store,
            worker,
            backing,
            memlimit,
            expect: HashMap::new(),
        }
    }

    fn in_backing(&self, index: u64) -> bool {
        let entry = self
            .store
            .table
            .get(index)
            .and_then(|word| slot::load(word).0.entry());
        matches!(entry, Some(Entry::Backing { .. }))
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Write { first, kinds, seed } => self.write(*first, kinds, *seed)?,
            Op::Read { first, count } => self.read(*first, *count)?,
            Op::Discard { first, count } => {
                let range = *first..(first + count).min(PAGES);
                let expected = range
                    .clone()
                    .filter(|i| self.expect.contains_key(i))
                    .count();
                let freed = self.store.discard(&mut self.worker, *first, *count);
                prop_assert_eq!(freed, expected as u64);
                range.for_each(|i| drop(self.expect.remove(&i)));
            }
            Op::Keep => {
                self.store.keep();
            }
            Op::Recompress { codec, age, epochs } => self.recompress(*codec, *age, *epochs)?,
            Op::Codec(n) => {
                let known: Vec<_> = codec_ids();
                self.store.set_codec(known[n % known.len()]);
            }
            Op::FailBackingWrites(fail) => {
                self.each_backing(|b| b.0.fail_writes.store(*fail, Relaxed));
            }
            Op::FailBackingReads(fail) => {
                self.each_backing(|b| b.0.fail_reads.store(*fail, Relaxed));
            }
            Op::FailMemory(fail) => self.store.pool_frames().set_failing(*fail),
        }
        Ok(())
    }

    fn each_backing(&self, act: impl Fn(&MemoryBacking)) {
        self.backing.iter().for_each(act);
    }

    fn write(&mut self, first: u64, kinds: &[usize], seed: u64) -> Result<(), TestCaseError> {
        let pages: Vec<Page> = kinds
            .iter()
            .zip(seed..=u64::MAX)
            .map(|(kind, seed)| page(*kind, seed))
            .collect();
        let before = self.store.stats();
        let result = self.store.write(&mut self.worker, first, &pages);
        let after = self.store.stats();
        let failed = after.failed_writes - before.failed_writes;
        prop_assert_eq!(result.is_err(), failed > 0);
        if failed == 0 {
            for (i, page) in (first..).zip(&pages) {
                self.expect.insert(i, Some(Box::new(*page)));
            }
            return Ok(());
        }
        // Some of them failed: each must read as its new or its old content.
        for (i, page) in (first..).zip(&pages).filter(|(i, _)| *i < PAGES) {
            let new = Some(Box::new(*page));
            let mut now = [[0xa5; PAGE_SIZE]];
            self.each_backing(|b| b.0.fail_reads.store(false, Relaxed));
            self.store
                .read(&mut self.worker, i, &mut now)
                .map_err(|e| {
                    TestCaseError::fail(std::format!("page {i} after a failed write: {e}"))
                })?;
            let old = self.expect.get(&i).cloned().flatten();
            let is_new = new.as_deref() == Some(&now[0]);
            let is_old = old.as_deref().unwrap_or(&[0; PAGE_SIZE]) == &now[0];
            prop_assert!(is_new || is_old, "page {} is neither old nor new", i);
            let holds = self.store.table.get(i).map(slot::load) != Some((Slot::EMPTY, false))
                && self.store.table.get(i).is_some();
            if holds {
                self.expect.insert(i, Some(Box::new(now[0])));
            }
        }
        Ok(())
    }

    fn recompress(&self, codec: usize, age: u8, epochs: usize) -> Result<(), TestCaseError> {
        let known = codec_ids();
        let policy = ColdPolicy {
            codec: known[codec % known.len()],
            age,
        };
        let before = self.store.stats();
        let mut recompressor = self.store.try_recompressor().unwrap().unwrap();
        for _ in 0..epochs {
            while recompressor.step(policy) == Progress::Within {}
        }
        let after = self.store.stats();
        prop_assert_eq!(
            before.compr_bytes - after.compr_bytes,
            after.recompress_saved - before.recompress_saved
        );
        prop_assert_eq!(before.pages_stored, after.pages_stored);
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize) -> Result<(), TestCaseError> {
        let mut pages = vec![[0xa5; PAGE_SIZE]; count];
        let failing = self
            .backing
            .as_ref()
            .is_some_and(|b| b.0.fail_reads.load(Relaxed));
        let result = self.store.read(&mut self.worker, first, &mut pages);
        let readable = |i: &u64| *i < PAGES && !(failing && self.in_backing(*i));
        let all_readable = (first..).take(count).all(|i| readable(&i));
        prop_assert_eq!(result.is_ok(), all_readable);
        for (i, page) in (first..).zip(&pages).filter(|(i, _)| readable(i)) {
            let expected = self.expect.get(&i).map(|p| p.as_deref().copied());
            prop_assert!(
                expected.unwrap_or(Some([0; PAGE_SIZE])) == Some(*page),
                "page {}",
                i
            );
        }
        Ok(())
    }

    fn check_everything(&mut self) -> Result<(), TestCaseError> {
        self.each_backing(|b| b.0.fail_reads.store(false, Relaxed));
        self.read(0, PAGES as usize)?;
        let stats = self.store.stats();
        let held = stats.pages();
        prop_assert_eq!(held, self.expect.len() as u64);
        prop_assert_eq!(stats.corrupt, 0);
        prop_assert_eq!(stats.reads, stats.load_latency.iter().sum::<u64>());
        self.store.discard(&mut self.worker, 0, PAGES);
        let stats = self.store.stats();
        prop_assert_eq!(
            (stats.compr_bytes, stats.pages_stored, stats.backing_pages),
            (0, 0, 0)
        );
        self.store.pool_frames().set_failing(false);
        while self.store.keep() {}
        let reserve = self.memlimit.unwrap_or(u64::MAX).min(8 * 65536);
        prop_assert_eq!(self.store.stats().reserve_bytes, reserve);
        Ok(())
    }
}

fn codec_ids() -> Vec<CodecSpec> {
    crate::codec::Builtin::selectable()
        .map(|id| CodecSpec::new(id).unwrap())
        .collect()
}

fn run(ops: &[Op], mut model: Model) -> Result<(), TestCaseError> {
    ops.iter().try_for_each(|op| model.apply(op))?;
    model.check_everything()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn without_backing(ops in prop::collection::vec(op(), 1..80)) {
        run(&ops, Model::new(false, None))?;
    }

    #[test]
    fn with_backing_and_a_tight_limit(
        ops in prop::collection::vec(op(), 1..80),
        frames in 1u64..8,
    ) {
        run(&ops, Model::new(true, Some(frames * 65536)))?;
    }
}
