//! Counters that many threads change at once without sharing a cache line.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::codec::CodecId;
use crate::page::PAGE_SIZE;
use crate::slot::{ChunkRef, Entry};
use crate::stats::{LATENCY_BUCKETS, Latency, Stats};

/// One thread's counters. Gauges wrap: a page that one thread stored and another discarded
/// is +1 here and -1 there.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) failed_reads: AtomicU64,
    pub(super) failed_writes: AtomicU64,
    pub(super) notify_free: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(super) backing_reads: AtomicU64,
    pub(super) backing_writes: AtomicU64,
    pub(super) recompressed: AtomicU64,
    pub(super) recompress_saved: AtomicU64,
    pub(super) recompress_in_vain: AtomicU64,
    zero_pages: AtomicU64,
    same_pages: AtomicU64,
    good_compress: AtomicU64,
    backing_pages: AtomicU64,
    codec_pages: [AtomicU64; CodecId::ALL.len()],
    codec_bytes: [AtomicU64; CodecId::ALL.len()],
    store_latency: [AtomicU64; LATENCY_BUCKETS],
    load_latency: [AtomicU64; LATENCY_BUCKETS],
}

/// Adds to a counter that mostly this thread changes.
#[inline]
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

fn bucket(ns: u64) -> usize {
    (ns.max(1).ilog2() as usize).min(LATENCY_BUCKETS - 1)
}

impl Shard {
    /// Notes that a slot came to say `entry`.
    pub(super) fn gained(&self, entry: Entry) {
        self.change(entry, 1);
    }

    /// Notes that a slot no longer says `entry`.
    pub(super) fn lost(&self, entry: Entry) {
        self.change(entry, u64::MAX);
    }

    fn change(&self, entry: Entry, one: u64) {
        match entry {
            Entry::Empty | Entry::Shadow { .. } => {}
            Entry::Same(0) => add(&self.zero_pages, one),
            Entry::Same(_) => add(&self.same_pages, one),
            Entry::Backing { .. } => add(&self.backing_pages, one),
            Entry::Chunk(ChunkRef { length, codec, .. }) => {
                add(&self.codec_pages[codec as usize], one);
                add(
                    &self.codec_bytes[codec as usize],
                    one.wrapping_mul(length as u64),
                );
                if length <= PAGE_SIZE / 2 {
                    add(&self.good_compress, one);
                }
            }
        }
    }

    pub(super) fn stored(&self, ns: u64) {
        add(&self.store_latency[bucket(ns)], 1);
    }

    pub(super) fn loaded(&self, ns: u64) {
        add(&self.load_latency[bucket(ns)], 1);
    }
}

/// The counters of all threads.
#[derive(Debug)]
pub(super) struct Counters(Box<[Shard]>);

impl Counters {
    pub(super) fn new(shards: usize) -> Self {
        Counters((0..shards.max(1)).map(|_| Shard::default()).collect())
    }

    /// The counters of thread `number`, shared where there are more threads than shards.
    #[inline]
    pub(super) fn shard(&self, number: usize) -> &Shard {
        &self.0[number % self.0.len()]
    }

    fn sum(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, shard| sum.wrapping_add(of(shard).load(Relaxed)))
    }

    /// Pages read and written so far.
    pub(super) fn served(&self) -> u64 {
        let reads = self.sum(|shard| &shard.reads);
        reads.wrapping_add(self.sum(|shard| &shard.writes))
    }

    /// A gauge: threads at work may leave it below zero for a moment, which reads as zero.
    fn gauge(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        (self.sum(of) as i64).max(0) as u64
    }

    fn latency(&self, of: impl Fn(&Shard) -> &[AtomicU64; LATENCY_BUCKETS]) -> Latency {
        core::array::from_fn(|i| self.sum(|shard| &of(shard)[i]))
    }

    /// Everything that is counted here; the pool's and the table's sizes are left at zero.
    pub(super) fn snapshot(&self) -> Stats {
        let mut stats = Stats {
            reads: self.sum(|s| &s.reads),
            writes: self.sum(|s| &s.writes),
            failed_reads: self.sum(|s| &s.failed_reads),
            failed_writes: self.sum(|s| &s.failed_writes),
            notify_free: self.sum(|s| &s.notify_free),
            corrupt: self.sum(|s| &s.corrupt),
            backing_reads: self.sum(|s| &s.backing_reads),
            backing_writes: self.sum(|s| &s.backing_writes),
            recompressed: self.sum(|s| &s.recompressed),
            recompress_saved: self.sum(|s| &s.recompress_saved),
            recompress_in_vain: self.sum(|s| &s.recompress_in_vain),
            zero_pages: self.gauge(|s| &s.zero_pages),
            same_pages: self.gauge(|s| &s.same_pages),
            good_compress: self.gauge(|s| &s.good_compress),
            backing_pages: self.gauge(|s| &s.backing_pages),
            store_latency: self.latency(|s| &s.store_latency),
            load_latency: self.latency(|s| &s.load_latency),
            ..Stats::default()
        };
        for (i, codec) in stats.codecs.iter_mut().enumerate() {
            codec.pages = self.gauge(|s| &s.codec_pages[i]);
            codec.bytes = self.gauge(|s| &s.codec_bytes[i]);
        }
        stats.pages_stored = stats.codecs.iter().map(|c| c.pages).sum();
        stats.compr_bytes = stats.codecs.iter().map(|c| c.bytes).sum();
        stats.no_compress = stats.codecs[CodecId::Raw as usize].pages;
        stats
    }
}
