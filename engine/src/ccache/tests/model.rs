//! Random operations against a model: what is held is right, what is pinned is held.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const FILES: u64 = 5;
const PAGES: u64 = 700;

/// A file as it is on SOURCE: the seed of each page; and which pages are pinned.
#[derive(Default)]
struct Model {
    seeds: BTreeMap<(usize, u64), u64>,
    pinned: BTreeSet<(usize, u64)>,
}

impl Model {
    fn page(&self, key: (usize, u64)) -> Page {
        let seed = self.seeds.get(&key).copied().unwrap_or(key.1 % 90);
        match seed % 13 {
            0 => [seed as u8; PAGE_SIZE],
            1 => noise(seed),
            _ => page(seed),
        }
    }
}

fn run(seed: u64, steps: u32) {
    let cache = cache(MIB / 2);
    let mut worker = cache.try_worker().unwrap();
    let files: Vec<_> = (0..FILES).map(|_| cache.add_file().unwrap()).collect();
    let mut model = Model::default();
    let mut random = Random::new(seed);
    let mut next_seed = 1000;
    for step in 0..steps {
        let n = (random.next_u64() % FILES) as usize;
        // Half of the time near the start, and sometimes far out.
        let index = match random.next_u64() % 8 {
            0 => (random.next_u64() % PAGES) << (random.next_u64() % 30),
            1..4 => random.next_u64() % 40,
            _ => random.next_u64() % PAGES,
        };
        let key = (n, index);
        let file = files[n];
        match random.next_u64() % 20 {
            0..10 => {
                let held = fault(&cache, &mut worker, file, index, || model.page(key));
                assert!(
                    held || !model.pinned.contains(&key),
                    "seed {seed} step {step}"
                );
            }
            10..13 => {
                // A write that is kept.
                next_seed += 1;
                let before = model.seeds.insert(key, next_seed);
                if cache
                    .pin(&mut worker, file, index, &model.page(key))
                    .is_ok()
                {
                    model.pinned.insert(key);
                } else {
                    match before {
                        Some(seed) => model.seeds.insert(key, seed),
                        None => model.seeds.remove(&key),
                    };
                }
            }
            13..15 => {
                // A write that goes to SOURCE.
                next_seed += 1;
                model.seeds.insert(key, next_seed);
                cache.invalidate(file, index, index + 1);
                model.pinned.remove(&key);
            }
            15..17 => {
                if let Some(key) = model.pinned.iter().nth(index as usize % 7).copied() {
                    cache.unpin(files[key.0], key.1);
                    model.pinned.remove(&key);
                }
            }
            17 => {
                let end = index + random.next_u64() % 50;
                cache.forget(file, index, end);
                model
                    .pinned
                    .retain(|(m, i)| *m != n || *i < index || *i >= end);
            }
            18 => {
                cache.set_reclaiming(random.next_u64().is_multiple_of(2));
                cache.tune(
                    MIB / 2 - random.next_u64() % 100_000,
                    random.next_u64() % 50_000,
                    100,
                );
                while cache.keep() {}
            }
            _ => {
                let next = cache.next_held(file, index);
                let pinned = model.pinned.range(key..).next().filter(|(m, _)| *m == n);
                assert!(next.unwrap_or(u64::MAX) <= pinned.map_or(u64::MAX, |(_, i)| *i));
                assert!(next.is_none_or(|i| i >= index && cache.holds(file, i)));
            }
        }
    }
    let stats = cache.stats();
    assert_eq!(stats.pinned, model.pinned.len() as u64);
    assert_eq!(stats.counts.corrupt, 0);
    let held = stats.store.pages_stored + stats.store.zero_pages + stats.store.same_pages;
    assert_eq!(stats.inactive + stats.active + stats.pinned, held);
    for file in files {
        cache.remove_file(file);
    }
    let stats = cache.stats();
    assert_eq!(
        (
            stats.inactive,
            stats.active,
            stats.pinned,
            stats.shadows,
            stats.files
        ),
        (0, 0, 0, 0, 0)
    );
    assert_eq!((stats.store.pages_stored, stats.store.compr_bytes), (0, 0));
    assert_eq!(
        cache.lock().index.used_bytes(),
        0,
        "no block or node is left"
    );
}

#[test]
fn it_agrees_with_the_model() {
    for seed in 0..60 {
        run(seed, 3000);
    }
}
