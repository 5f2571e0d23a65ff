//! Freed swap frees memory at once.

use compcache_device::ParamsUpdate;
use compcache_tests::content::Kind;
use compcache_tests::{Bed, Cgroup, Hog, MIB, PAGE, stats, until};

const SIZE: u64 = 96 * MIB;
const LIMIT: u64 = 32 * MIB;

/// A program's end frees its pages on the device: the kernel discards them, and the pool gives
/// the memory back.
#[test]
fn end_of_a_program_frees_its_memory() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.swap_on(
        0,
        ParamsUpdate {
            disksize: Some(2 * SIZE),
            ..Default::default()
        },
    );
    let empty = stats(&bed, 0).pool_bytes;
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Random, SIZE, 1);
    hog.fill();
    let full = stats(&bed, 0);
    assert!(full.pool_bytes > empty + (SIZE - LIMIT) / 2, "{full:?}");
    drop(hog);
    drop(group);
    // The kernel gathers freed slots in clusters of 2 MiB before it discards them; what is left
    // are clusters that hold pages of others, and the reserve.
    let after = until("the pool's memory to be given back", || {
        let now = stats(&bed, 0);
        (now.pool_bytes <= empty + full.pool_bytes / 10).then_some(now)
    });
    assert!(after.notify_free >= (SIZE - LIMIT) / PAGE / 2, "{after:?}");
    assert_eq!(after.failed_writes, 0, "{after:?}");
}

/// `blkdiscard` on a device that is not swapped on.
#[test]
fn discard_of_the_whole_disk() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    bed.init_sized(16 * MIB);
    let node = bed.node(0);
    let mut random = vec![0; 16 << 20];
    std::io::Read::read_exact(
        &mut std::fs::File::open("/dev/urandom").unwrap(),
        &mut random,
    )
    .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&node).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &random, 0).unwrap();
    file.sync_all().unwrap();
    drop(file);
    assert_eq!(stats(&bed, 0).pages_stored, 16 * MIB / PAGE);
    compcache_tests::Outcome::of(std::process::Command::new("blkdiscard").arg(&node)).success();
    let after = until("the pages to be freed", || {
        let now = stats(&bed, 0);
        (now.pages_stored == 0).then_some(now)
    });
    assert!(after.notify_free >= 16 * MIB / PAGE, "{after:?}");
    let mut back = vec![1; 1 << 20];
    let file = std::fs::File::open(&node).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut back, 8 << 20).unwrap();
    assert!(back.iter().all(|byte| *byte == 0));
}
