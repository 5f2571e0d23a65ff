//! Counters that many threads change at once without sharing a cache line.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::codec::CodecId;
use crate::fallible::{NoMemory, collect};
use crate::page::PAGE_SIZE;
use crate::slot::{ChunkRef, Entry};
use crate::stats::{LATENCY_BUCKETS, Stats};

/// Declares [`Shard`]: which numbers of [`Stats`] are counted in shards.
macro_rules! shard {
    (counters: $($counter:ident)*; gauges: $($gauge:ident)*;) => {
        /// One worker's counters, or those that all others share. Gauges wrap: a page that one
        /// worker stored and another discarded is +1 here and -1 there.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(super) struct Shard {
            shared: bool,
            $(pub(super) $counter: Counter,)*
            $($gauge: Counter,)*
            codec_pages: [Counter; CodecId::ALL.len()],
            codec_bytes: [Counter; CodecId::ALL.len()],
            store_latency: [Counter; LATENCY_BUCKETS],
            load_latency: [Counter; LATENCY_BUCKETS],
        }

        impl Counters {
            /// Fills in the plain numbers that are counted in shards.
            fn read_numbers(&self, stats: &mut Stats) {
                $(stats.$counter = self.sum(|shard| &shard.$counter);)*
                $(stats.$gauge = self.gauge(|shard| &shard.$gauge);)*
            }
        }
    };
}

shard! {
    counters:
        reads writes failed_reads failed_writes notify_free corrupt backing_reads backing_writes
        recompressed recompress_saved recompress_no_gain no_compress_since;
    gauges: zero_pages same_pages good_compress backing_pages;
}

/// A counter of a [`Shard`].
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

fn bucket(ns: u64) -> usize {
    (ns.max(1).ilog2() as usize).min(LATENCY_BUCKETS - 1)
}

impl Shard {
    /// Adds to one of this shard's counters: `shard.add(&shard.reads, 1)`.
    #[inline]
    pub(super) fn add(&self, counter: &Counter, n: u64) {
        if self.shared {
            counter.0.fetch_add(n, Relaxed);
        } else {
            // Nobody else writes it: a plain addition does.
            counter
                .0
                .store(counter.0.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }

    /// Notes that a slot now holds `entry`.
    #[inline]
    pub(super) fn gained(&self, entry: Entry) {
        self.change(entry, 1);
        if let Entry::Chunk(ChunkRef {
            codec: CodecId::Raw,
            ..
        }) = entry
        {
            self.add(&self.no_compress_since, 1);
        }
    }

    /// Notes that a slot no longer holds `entry`.
    #[inline]
    pub(super) fn lost(&self, entry: Entry) {
        self.change(entry, u64::MAX);
    }

    #[inline]
    fn change(&self, entry: Entry, one: u64) {
        match entry {
            Entry::Empty | Entry::Shadow { .. } | Entry::Transit { .. } => {}
            Entry::Same(0) => self.add(&self.zero_pages, one),
            Entry::Same(_) => self.add(&self.same_pages, one),
            Entry::Backing { .. } => self.add(&self.backing_pages, one),
            Entry::Chunk(chunk) => self.change_chunk(chunk, one),
        }
    }

    /// Notes that a slot no longer names a chunk.
    #[inline]
    pub(super) fn lost_chunk(&self, chunk: ChunkRef) {
        self.change_chunk(chunk, u64::MAX);
    }

    #[inline]
    fn change_chunk(&self, ChunkRef { length, codec, .. }: ChunkRef, one: u64) {
        self.add(&self.codec_pages[codec as usize], one);
        let bytes = one.wrapping_mul(length as u64);
        self.add(&self.codec_bytes[codec as usize], bytes);
        if length <= PAGE_SIZE / 2 {
            self.add(&self.good_compress, one);
        }
    }

    /// Notes that `pages` pages were stored within so many nanoseconds in all.
    pub(super) fn stored(&self, ns: u64, pages: u64) {
        if let Some(each) = ns.checked_div(pages) {
            self.add(&self.store_latency[bucket(each)], pages);
        }
    }

    pub(super) fn loaded(&self, ns: u64) {
        self.add(&self.load_latency[bucket(ns)], 1);
    }
}

/// The counters of all threads: a shard for each of the first workers, and one that is shared.
///
/// A worker's shard is written by a plain addition. So at most one thread at a time may use a
/// worker, which its `&mut` demands if a worker is borrowed, and [`super::Store::free`] if
/// only its number is given.
#[derive(Debug)]
pub(super) struct Counters(Box<[Shard]>);

impl Counters {
    /// Counters for workers `0..workers` and a shared shard.
    #[cold]
    #[inline(never)] // what it moves is off its caller's stack
    pub(super) fn try_new(workers: usize) -> Result<Self, NoMemory> {
        let workers = workers.max(1);
        let shards = collect(workers + 1, |number| Shard {
            shared: number == workers,
            ..Shard::default()
        })?;
        Ok(Counters(shards))
    }

    /// The counters of worker `number`: the shared ones if it has none of its own.
    #[inline]
    pub(super) fn shard(&self, number: usize) -> &Shard {
        &self.0[number.min(self.0.len() - 1)]
    }

    /// The counters for threads that have no worker in hand.
    #[inline]
    pub(super) fn shared(&self) -> &Shard {
        self.shard(usize::MAX)
    }

    fn sum(&self, of: impl Fn(&Shard) -> &Counter) -> u64 {
        let each = self.0.iter().map(|shard| of(shard).0.load(Relaxed));
        each.fold(0, u64::wrapping_add)
    }

    /// Pages read and written so far.
    pub(super) fn served(&self) -> u64 {
        let reads = self.sum(|shard| &shard.reads);
        reads.wrapping_add(self.sum(|shard| &shard.writes))
    }

    /// A gauge: threads at work may leave it below zero for a moment, which reads as zero.
    fn gauge(&self, of: impl Fn(&Shard) -> &Counter) -> u64 {
        (self.sum(of) as i64).max(0) as u64
    }

    /// Fills in everything that is counted here; all else of `stats` stays as it is.
    pub(super) fn read(&self, stats: &mut Stats) {
        self.read_numbers(stats);
        for i in 0..LATENCY_BUCKETS {
            stats.store_latency[i] = self.sum(|s| &s.store_latency[i]);
            stats.load_latency[i] = self.sum(|s| &s.load_latency[i]);
        }
        for (i, codec) in stats.codecs.iter_mut().enumerate() {
            codec.pages = self.gauge(|s| &s.codec_pages[i]);
            codec.bytes = self.gauge(|s| &s.codec_bytes[i]);
        }
        stats.pages_stored = stats.codecs.iter().map(|c| c.pages).sum();
        stats.compr_bytes = stats.codecs.iter().map(|c| c.bytes).sum();
        stats.no_compress = stats.codecs[CodecId::Raw as usize].pages;
    }
}
