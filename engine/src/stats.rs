//! What a store has done and holds.

use crate::codec::CodecId;

/// Buckets of a latency histogram: bucket `i` counts operations of `2^i..2^(i+1)` ns
/// (bucket 0 also those of 0 ns, the last one all longer ones).
pub const LATENCY_BUCKETS: usize = 32;

// serde knows arrays of up to 32 elements; more buckets would need a hand-written impl.
const _: () = assert!(LATENCY_BUCKETS <= 32);

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

/// What each codec's chunks hold, indexed by [`CodecId`] number.
type Codecs = [CodecStats; CodecId::ALL.len()];

/// Declares [`Stats`]: its plain numbers are written here once. Their names are those of the JSON
/// document, of the kernel driver's attribute `stats` and of the manual page.
macro_rules! stats {
    ($($(#[$attribute:meta])* $number:ident,)*) => {
        /// A snapshot of a store's counters. Counters never go back; gauges say what is held now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
        pub struct Stats {
            $($(#[$attribute])* pub $number: u64,)*
            /// Gauge: what each codec's chunks hold, indexed by [`CodecId`] number. As a document
            /// an array of objects with `codec`, `pages` and `bytes`, without those of no page.
            #[cfg_attr(feature = "serde", serde(with = "document"))]
            pub codecs: Codecs,
            /// Time of storing a page.
            pub store_latency: Latency,
            /// Time of loading a page.
            pub load_latency: Latency,
        }

        impl Stats {
            /// The names of the plain numbers, in the order of their declaration.
            pub const NAMES: &[&str] = &[$(stringify!($number)),*];

            /// The plain numbers with their names, in the order of [`Stats::NAMES`].
            pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($number), self.$number)),*].into_iter()
            }

            /// Sets a plain number by its name; whether there is one of this name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($number) => self.$number = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

stats! {
    /// Counter: pages read.
    reads,
    /// Counter: pages written.
    writes,
    /// Counter: pages whose read failed.
    failed_reads,
    /// Counter: pages whose write failed.
    failed_writes,
    /// Counter: pages whose slot was freed because nobody needs them any more, by a discard or by
    /// a notice of the kernel.
    notify_free,
    /// Counter: chunks that failed their checksum or did not decode.
    corrupt,
    /// Counter: pages read from the backing store.
    backing_reads,
    /// Counter: pages written to the backing store.
    backing_writes,
    /// Counter: pages moved by the evacuator.
    evacuated,
    /// Counter: bytes of frames that the evacuator has emptied.
    evacuated_bytes,
    /// Counter: frames taken although the reserve was empty.
    reserve_misses,
    /// Counter: cold pages whose chunk was replaced by a smaller one.
    recompressed,
    /// Counter: bytes by which these chunks became shorter.
    recompress_saved,
    /// Counter: cold pages for which that was tried and did not pay.
    recompress_no_gain,
    /// Gauge: pages of zeros.
    zero_pages,
    /// Gauge: same-filled pages other than zeros that live in their slot.
    same_pages,
    /// Gauge: pages held in the pool.
    pages_stored,
    /// Gauge: of these, pages compressed to half a page or less.
    good_compress,
    /// Gauge: of these, pages stored as they are.
    no_compress,
    /// Counter: pages that were stored as they are.
    no_compress_since,
    /// Gauge: pages that live in the backing store.
    backing_pages,
    /// Gauge: bytes of all chunks, without headers.
    compr_bytes,
    /// Gauge: bytes of memory that the pool holds: frames, with all that is in them, reserve
    /// included.
    pool_bytes,
    /// The most that `pool_bytes` ever was.
    pool_bytes_max,
    /// Gauge: of `pool_bytes`, the reserve of ready frames.
    reserve_bytes,
    /// Gauge: bytes of the slot table and of the pool's table of frames.
    table_bytes,
}

impl Stats {
    /// The pages that are held, wherever they are: in the pool, in their slot, in the backing
    /// store.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages_stored + self.same_filled() + self.backing_pages
    }

    /// The same-filled pages, zeros among them.
    #[must_use]
    pub fn same_filled(&self) -> u64 {
        self.zero_pages + self.same_pages
    }

    /// Bytes of memory that are taken: the pool, its reserve included, and the tables.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.pool_bytes + self.table_bytes
    }

    /// What the chunks of each codec hold, without the codecs that hold none.
    pub fn by_codec(&self) -> impl Iterator<Item = (CodecId, CodecStats)> {
        held(&self.codecs)
    }
}

/// The codecs whose chunks hold pages.
fn held(codecs: &Codecs) -> impl Iterator<Item = (CodecId, CodecStats)> {
    let each = CodecId::ALL.into_iter().zip(*codecs);
    each.filter(|(_, held)| held.pages > 0)
}

/// The numbers of codecs as a document.
#[cfg(feature = "serde")]
mod document {
    use alloc::string::String;
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{CodecId, CodecStats, Codecs, held};

    /// What the chunks of one codec hold. A codec's name is no fixed text: a newer program may
    /// have others, whose numbers are ignored.
    #[derive(Serialize, Deserialize)]
    struct Held {
        codec: String,
        pages: u64,
        bytes: u64,
    }

    pub(super) fn serialize<S: Serializer>(codecs: &Codecs, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(held(codecs).map(|(id, held)| Held {
            codec: id.name().into(),
            pages: held.pages,
            bytes: held.bytes,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Codecs, D::Error> {
        let mut codecs = Codecs::default();
        for held in Vec::<Held>::deserialize(from)? {
            if let Some(id) = CodecId::from_name(&held.codec) {
                codecs[id as usize] = CodecStats {
                    pages: held.pages,
                    bytes: held.bytes,
                };
            }
        }
        Ok(codecs)
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    /// Each number its own, so that none can stand for another.
    fn sample() -> Stats {
        let mut stats = Stats::default();
        for (at, name) in (1..).zip(Stats::NAMES) {
            assert!(stats.set(name, at), "{name}");
        }
        stats.codecs[CodecId::Raw as usize] = CodecStats {
            pages: 2,
            bytes: 8192,
        };
        stats.load_latency[9] = 5;
        stats
    }

    #[test]
    fn every_number_has_one_name() {
        let stats = sample();
        let numbers: std::vec::Vec<_> = stats.numbers().collect();
        assert_eq!(numbers.len(), Stats::NAMES.len());
        for (at, (name, value)) in (1..).zip(numbers) {
            assert_eq!((name, value), (Stats::NAMES[at as usize - 1], at));
        }
        assert!(!Stats::default().set("no_such_number", 1));
    }

    #[test]
    fn a_document_is_read_back_as_it_was() {
        let stats = sample();
        let text = serde_json::to_string(&stats).unwrap();
        assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats);
    }

    #[test]
    fn a_document_of_another_version_is_read_as_far_as_it_is_known() {
        let text = r#"{"reads": 3, "later": 1,
            "codecs": [{"codec": "later", "pages": 1, "bytes": 2},
                       {"codec": "raw", "pages": 4, "bytes": 5}]}"#;
        let stats: Stats = serde_json::from_str(text).unwrap();
        let held = CodecStats { pages: 4, bytes: 5 };
        assert_eq!(
            (stats.reads, stats.by_codec().collect()),
            (3, std::vec![(CodecId::Raw, held)])
        );
    }
}
