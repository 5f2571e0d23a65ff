//! What a store has done and holds.

use crate::codec::CodecId;

/// Buckets of a latency histogram: bucket `i` counts operations of `2^i..2^(i+1)` ns
/// (bucket 0 also those of 0 ns, the last one all longer ones).
pub const LATENCY_BUCKETS: usize = 32;

/// A latency histogram with powers of two as bounds, in nanoseconds.
pub type Latency = [u64; LATENCY_BUCKETS];

/// Pages and bytes held in one codec's chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodecStats {
    /// Chunks held now.
    pub pages: u64,
    /// Bytes of these chunks, without headers.
    pub bytes: u64,
}

/// A snapshot of a store's counters. Counters never go back; gauges say what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Counter: pages read.
    pub reads: u64,
    /// Counter: pages written.
    pub writes: u64,
    /// Counter: pages whose read failed.
    pub failed_reads: u64,
    /// Counter: pages whose write failed.
    pub failed_writes: u64,
    /// Counter: pages whose slot was freed by a discard or because they were dead.
    pub notify_free: u64,
    /// Counter: chunks that failed their checksum or did not decode.
    pub corrupt: u64,
    /// Counter: pages read from the backing store.
    pub backing_reads: u64,
    /// Counter: pages written to the backing store.
    pub backing_writes: u64,
    /// Counter: pages that were stored as they are.
    pub no_compress_since: u64,
    /// Counter: pages moved by the evacuator.
    pub evacuated: u64,
    /// Counter: frames taken although the reserve was empty.
    pub reserve_misses: u64,
    /// Counter: cold pages whose chunk was replaced by a smaller one.
    pub recompressed: u64,
    /// Counter: bytes by which these chunks became shorter.
    pub recompress_saved: u64,
    /// Counter: cold pages for which that was tried and did not pay.
    pub recompress_in_vain: u64,
    /// Counter: bytes of frames that the evacuator has emptied.
    pub evacuated_bytes: u64,
    /// Gauge: pages of zeros.
    pub zero_pages: u64,
    /// Gauge: same-filled pages other than zeros that live in their slot.
    pub same_pages: u64,
    /// Gauge: pages held in the pool.
    pub pages_stored: u64,
    /// Gauge: of these, pages compressed to half a page or less.
    pub good_compress: u64,
    /// Gauge: of these, pages stored as they are.
    pub no_compress: u64,
    /// Gauge: pages that live in the backing store.
    pub backing_pages: u64,
    /// Gauge: bytes of all chunks, without headers.
    pub compr_bytes: u64,
    /// Gauge: bytes of memory that the pool holds: frames, with all that is in them, reserve
    /// included.
    pub pool_bytes: u64,
    /// The most that `pool_bytes` ever was.
    pub pool_bytes_max: u64,
    /// Gauge: of `pool_bytes`, the reserve of ready frames.
    pub reserve_bytes: u64,
    /// Gauge: bytes of the slot table and of the pool's table of frames.
    pub table_bytes: u64,
    /// Gauge: what each codec's chunks hold, indexed by [`CodecId`] number.
    pub codecs: [CodecStats; CodecId::ALL.len()],
    /// Time of storing a page.
    pub store_latency: Latency,
    /// Time of loading a page.
    pub load_latency: Latency,
}
