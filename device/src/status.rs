//! What a device is and has done, as it is sent to clients and printed.

use std::path::PathBuf;

use compcache_engine::CodecId;
use compcache_engine::stats::{LATENCY_BUCKETS, Latency, Stats};
use serde::{Deserialize, Serialize};

use crate::freed::Freeing;
use crate::params::ParamsUpdate;
use crate::swap;

/// Whether a device is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Takes parameters; has no block device.
    New,
    /// Initialised; its block device is there.
    Ready,
}

/// Who serves a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel driver, `ramzswap.ko`.
    Kernel,
    /// A process: the daemon.
    User,
}

/// A device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The `N` of `ramzswapN`.
    pub number: u32,
    /// Who serves it.
    pub driver: Driver,
    /// Whether it is initialised.
    pub state: State,
    /// By which users name the device, `/dev/ramzswapN`: a symlink, which exists while ready; of
    /// the kernel driver the block device itself.
    pub node: PathBuf,
    /// The block device that the kernel knows, such as `/dev/loop3`; while ready.
    pub block_device: Option<PathBuf>,
    /// The transport that serves it, `fuse`, `fuse-uring` or `kernel`; while ready.
    pub transport: Option<String>,
    /// When slots that the kernel frees are freed here; while ready.
    pub dead_slots: Option<Freeing>,
    /// Its use as swap; `None` while it is not swapped on.
    pub swap: Option<SwapUse>,
    /// The parameters that were set by the user.
    pub params: ParamsUpdate,
    /// Size of the disk in bytes; 0 while new and no size was set.
    pub disksize: u64,
    /// Most bytes of memory for pages; only with a backing swap.
    pub memlimit: Option<u64>,
    /// The backing swap.
    pub backing_swap: Option<PathBuf>,
    /// The codec for new pages, as [`compcache_engine::CodecSpec`] prints it.
    pub codec: String,
    /// The codec with which cold pages are recompressed, or `off`.
    pub recompress: String,
    /// How long a page is neither read nor written before it is cold, in seconds.
    pub recompress_after: u32,
    /// The share of one CPU that recompression may use, in per cent.
    pub recompress_cpu: u32,
    /// Counters and gauges; all zero while new.
    pub stats: DeviceStats,
}

/// How the kernel uses a device as swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapUse {
    /// Its priority; higher ones fill first.
    pub priority: i32,
    /// Bytes of swap in use.
    pub used_bytes: u64,
    /// Bytes of swap in all.
    pub size_bytes: u64,
}

impl From<swap::Entry> for SwapUse {
    fn from(entry: swap::Entry) -> SwapUse {
        SwapUse {
            priority: entry.priority,
            used_bytes: entry.used_bytes,
            size_bytes: entry.size_bytes,
        }
    }
}

/// What the chunks of one codec hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecUse {
    /// The codec's name.
    pub codec: String,
    /// Chunks held now.
    pub pages: u64,
    /// Bytes of these chunks, without headers.
    pub bytes: u64,
}

/// A device's counters (they never go back) and gauges (what is held now). The fields are
/// those of [`compcache_engine::stats::Stats`], `invalid_io` and `recompress_cpu_ns`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceStats {
    /// Counter: pages read.
    pub reads: u64,
    /// Counter: pages written.
    pub writes: u64,
    /// Counter: pages whose read failed.
    pub failed_reads: u64,
    /// Counter: pages whose write failed.
    pub failed_writes: u64,
    /// Counter: requests refused because they were not whole pages of the disk.
    pub invalid_io: u64,
    /// Counter: pages whose slot was freed because the kernel no longer needs it, by a
    /// discard or [at once](crate::freed).
    pub notify_free: u64,
    /// Counter: chunks that failed their checksum or did not decode.
    pub corrupt: u64,
    /// Counter: pages read from the backing swap.
    pub backing_reads: u64,
    /// Counter: pages written to the backing swap.
    pub backing_writes: u64,
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
    /// Counter: CPU time of recompression, in nanoseconds.
    pub recompress_cpu_ns: u64,
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
    /// Gauge: pages that live in the backing swap.
    pub backing_pages: u64,
    /// Gauge: bytes of all chunks, without headers.
    pub compr_bytes: u64,
    /// Gauge: bytes of memory that the pool holds, its reserve included.
    pub pool_bytes: u64,
    /// Gauge: of these, bytes of the reserve of ready frames.
    pub reserve_bytes: u64,
    /// Gauge: bytes of the slot table.
    pub table_bytes: u64,
    /// Gauge: what each codec's chunks hold; codecs that hold none are left out.
    pub codecs: Vec<CodecUse>,
    /// Time of storing a page: bucket `i` counts `2^i..2^(i+1)` ns.
    pub store_latency: Latency,
    /// Time of loading a page: bucket `i` counts `2^i..2^(i+1)` ns.
    pub load_latency: Latency,
}

// serde knows arrays of up to 32 elements; more buckets would need a hand-written impl.
const _: () = assert!(LATENCY_BUCKETS <= 32);

impl DeviceStats {
    /// The engine's snapshot, with the count of refused requests and the CPU time of
    /// recompression in nanoseconds.
    #[must_use]
    pub fn new(stats: &Stats, invalid_io: u64, recompress_cpu_ns: u64) -> Self {
        let codecs = CodecId::ALL
            .iter()
            .zip(&stats.codecs)
            .filter(|(_, held)| held.pages > 0)
            .map(|(id, held)| CodecUse {
                codec: id.name().to_owned(),
                pages: held.pages,
                bytes: held.bytes,
            })
            .collect();
        DeviceStats {
            reads: stats.reads,
            writes: stats.writes,
            failed_reads: stats.failed_reads,
            failed_writes: stats.failed_writes,
            invalid_io,
            notify_free: stats.notify_free,
            corrupt: stats.corrupt,
            backing_reads: stats.backing_reads,
            backing_writes: stats.backing_writes,
            evacuated: stats.evacuated,
            reserve_misses: stats.reserve_misses,
            recompressed: stats.recompressed,
            recompress_saved: stats.recompress_saved,
            recompress_in_vain: stats.recompress_in_vain,
            recompress_cpu_ns,
            zero_pages: stats.zero_pages,
            same_pages: stats.same_pages,
            pages_stored: stats.pages_stored,
            good_compress: stats.good_compress,
            no_compress: stats.no_compress,
            backing_pages: stats.backing_pages,
            compr_bytes: stats.compr_bytes,
            pool_bytes: stats.pool_bytes,
            reserve_bytes: stats.reserve_bytes,
            table_bytes: stats.table_bytes,
            codecs,
            store_latency: stats.store_latency,
            load_latency: stats.load_latency,
        }
    }
}
