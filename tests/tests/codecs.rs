//! Real swap in a memory cgroup, with every codec: what comes back is what went out.

use compcache_device::ParamsUpdate;
use compcache_engine::CodecId;
use compcache_engine::stats::Stats;
use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, PAGE, stats};
use compcached::protocol::Request;

/// Memory that the program needs.
const SIZE: u64 = 96 * MIB;
/// Memory that it may have.
const LIMIT: u64 = 32 * MIB;
/// The least number of pages that do not fit, whatever the process needs besides.
const OVERFLOW: u64 = (SIZE - LIMIT) / PAGE;

fn swap_on(bed: &Bed, device: u32, codec: &str, disksize: u64) {
    bed.swap_on(
        device,
        ParamsUpdate {
            disksize: Some(disksize),
            codec: Some(codec.into()),
            ..Default::default()
        },
    );
}

fn swap_off(bed: &Bed, device: u32) {
    bed.request(&Request::SwapOff {
        device: Some(device),
    });
}

fn assert_no_failures(stats: &Stats) {
    assert_eq!(stats.failed_reads, 0, "{stats:?}");
    assert_eq!(stats.failed_writes, 0, "{stats:?}");
    assert_eq!(stats.corrupt, 0, "{stats:?}");
}

fn pages_of(stats: &Stats, codec: &str) -> u64 {
    CodecId::from_name(codec).map_or(0, |codec| stats.codecs[codec as usize].pages)
}

/// Fills, changes in order and at random, and verifies more memory than the cgroup allows, and
/// swaps off under a hog that lives on.
fn swaps_with(codec: &str) {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed, 0, codec, 2 * SIZE);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 2006);
    hog.fill();
    let filled = stats(&bed, 0);
    assert!(filled.writes >= OVERFLOW / 4 * 3, "{filled:?}");
    let name = codec.split(':').next().unwrap_or(codec);
    assert!(pages_of(&filled, name) > OVERFLOW / 3, "{filled:?}");
    // What the hog writes: 1/16 zeros (of which newer kernels write none), 1/16 one word, which
    // may be too large for a slot, 1/4 that does not compress.
    let same = filled.same_pages + pages_of(&filled, "fill");
    assert!(same > OVERFLOW / 32, "{filled:?}");
    assert!(filled.no_compress > OVERFLOW / 8, "{filled:?}");
    assert!(filled.good_compress > OVERFLOW / 3, "{filled:?}");

    hog.change();
    hog.change_at_random();
    hog.verify();
    let worked = stats(&bed, 0);
    assert!(worked.writes >= 2 * OVERFLOW, "{worked:?}");
    assert!(worked.reads >= 2 * OVERFLOW, "{worked:?}");
    assert_no_failures(&worked);

    drop(hog);
    drop(group);
    swap_off(&bed, 0);
    assert_eq!(stats(&bed, 0), Stats::default());
}

#[test]
fn lzo() {
    swaps_with("lzo");
}

#[test]
fn wkdm() {
    swaps_with("wkdm");
}

#[test]
fn lz4() {
    swaps_with("lz4");
}

#[test]
fn zstd() {
    swaps_with("zstd:1");
}

/// Pages that were compressed by one codec stay readable after the device was told to use
/// another, and the new one takes over.
#[test]
fn codec_is_changed_while_swapping() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed, 0, "wkdm", 2 * SIZE);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 7);
    hog.fill();
    for codec in ["lzo", "zstd:3", "lz4"] {
        bed.request(&Request::Set {
            device: 0,
            params: ParamsUpdate {
                codec: Some(codec.into()),
                ..Default::default()
            },
        });
        let before = stats(&bed, 0);
        hog.verify();
        hog.change();
        let after = stats(&bed, 0);
        assert!(after.reads > before.reads + OVERFLOW, "{codec}: {after:?}");
        let name = codec.split(':').next().unwrap_or(codec);
        assert!(pages_of(&after, name) > OVERFLOW / 3, "{codec}: {after:?}");
        assert_no_failures(&after);
    }
    hog.verify();
}

/// Swapping off brings every page back into memory that is there, and the program goes on.
#[test]
fn swapoff_under_a_living_program() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed, 0, "lz4", 2 * SIZE);
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 3);
    hog.fill();
    group.set_limit(4 * SIZE);
    swap_off(&bed, 0);
    assert_eq!(bed.device(0).block_device, None);
    hog.verify();
    hog.change();
    hog.verify();
}

/// Two devices at once, each with its own codec and its own program.
#[test]
fn two_devices_side_by_side() {
    let Some(bed) = Bed::with_devices(2) else {
        return;
    };
    // The second one has the higher priority: it takes what comes until it is full.
    for (device, codec, size) in [(0, "wkdm", 2 * SIZE), (1, "zstd", 32 * MIB)] {
        swap_on(&bed, device, codec, size);
    }
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, 5);
    hog.fill();
    hog.change();
    hog.verify();
    for device in [0, 1] {
        let stats = stats(&bed, device);
        assert!(stats.writes > 32 * MIB / PAGE / 2, "{device}: {stats:?}");
        assert!(stats.reads > 0, "{device}: {stats:?}");
        assert_no_failures(&stats);
    }
}
