//! Real swap whose cold pages are compressed once more.

use compcache_device::ParamsUpdate;
use compcache_engine::CodecId;
use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, PAGE, stats, wait_until};
use compcached::protocol::Request;

/// Memory that the program needs.
const SIZE: u64 = 64 * MIB;
/// Memory that it may have.
const LIMIT: u64 = 24 * MIB;
/// The least number of pages that do not fit.
const OVERFLOW: u64 = (SIZE - LIMIT) / PAGE;

/// A program fills its memory and waits; what it has in swap gets smaller, comes back as it
/// was, and does so again after it was changed while other pages were recompressed.
#[test]
fn cold_pages_get_smaller_and_come_back_as_they_were() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.swap_on(
        0,
        ParamsUpdate {
            disksize: Some(2 * SIZE),
            codec: Some("lz4".into()),
            recompress: Some("off".into()),
            recompress_after: Some(1),
            recompress_cpu: Some(100),
            ..Default::default()
        },
    );
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 1999);
    hog.fill();
    let before = stats(&bed, 0);
    assert_eq!(before.recompressed, 0);
    assert!(before.good_compress > OVERFLOW / 3, "{before:?}");

    bed.request(&Request::Set {
        device: 0,
        params: ParamsUpdate {
            recompress: Some("zstd:1".into()),
            ..Default::default()
        },
    });
    let pages = |codec: CodecId| stats(&bed, 0).codecs[codec as usize].pages;
    wait_until("every compressible page to be recompressed", || {
        pages(CodecId::Lz4) < before.good_compress / 100
    });
    let after = stats(&bed, 0);
    assert!(after.recompressed > OVERFLOW / 3, "{after:?}");
    assert!(bed.device(0).stats.recompress_cpu_ns > 0, "{after:?}");
    assert!(
        after.recompress_saved > before.compr_bytes / 20,
        "{after:?}"
    );
    assert!(after.pool_bytes < before.pool_bytes, "{before:?} {after:?}");

    hog.verify();
    for _ in 0..3 {
        hog.change_at_random();
        hog.verify();
    }
    let worked = stats(&bed, 0);
    assert_eq!(worked.failed_reads, 0, "{worked:?}");
    assert_eq!(worked.failed_writes, 0, "{worked:?}");
    assert_eq!(worked.corrupt, 0, "{worked:?}");
}
