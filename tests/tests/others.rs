//! What other programs do to swap devices and mounts is noticed.

use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use compcache_tests::content::Kind;
use compcache_tests::{
    Bed, Cgroup, Hog, MIB, Mode, MountBed, Outcome, Running, mounts_under, needs, wait_until,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const SIZE: u64 = 96 * MIB;
const LIMIT: u64 = 32 * MIB;

fn swap_on(bed: &Bed) {
    bed.compcache(&["swap", "on", "--driver", "user", "--size", "192M"])
        .success();
}

fn swap_off(bed: &Bed) -> Command {
    let mut command = Command::new("swapoff");
    command.arg(fs::canonicalize(bed.node(0)).expect("a device"));
    command
}

/// A hog with pages on a device of the daemon.
fn hog(seed: u64) -> (Cgroup, Hog) {
    let group = Cgroup::new(LIMIT);
    let mut hog = Hog::start(&group, Kind::Mixed, SIZE, seed);
    hog.fill();
    (group, hog)
}

/// A device that was swapped on with `compcache swap on`, and off with swapoff(8), gives its memory
/// back, and its number is free.
#[test]
fn swapped_off_by_others() {
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    for seed in 31..34 {
        swap_on(&bed);
        let (group, mut hog) = hog(seed);
        group.set_limit(4 * SIZE);
        Outcome::of(&mut swap_off(&bed)).success();
        wait_until("the device to be reset", || {
            bed.device(0).block_device.is_none()
        });
        hog.verify();
    }
    assert!(bed.devices_left().is_empty());
}

/// A swapoff(8) that is under way when the daemon is to end does not keep it.
#[test]
fn being_swapped_off_by_others_at_the_end() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    swap_on(&bed);
    let (group, mut hog) = hog(35);
    group.set_limit(4 * SIZE);
    let full = bed.device(0).swap.expect("swapped on").used_bytes;
    let other = Running::start(&mut swap_off(&bed));
    wait_until("the swap-off to be under way", || {
        let swap = bed.device(0).swap;
        swap.is_none_or(|swap| swap.used_bytes < full)
    });
    bed.stop();
    other.finish().success();
    hog.verify();
    drop(hog);
    drop(group);
    bed.assert_nothing_left();
}

/// An end that had to be put off comes by itself once pages fit back.
#[test]
fn pages_that_fit_later() {
    let Some(mut bed) = Bed::with_devices(1) else {
        return;
    };
    let others = compcache_device::swap::active().expect("the table");
    if !needs::need(others.is_empty(), "needs a machine without other swap") {
        return;
    }
    swap_on(&bed);
    let (group, mut hog) = hog(36);
    bed.daemon().signal(libc::SIGTERM);
    wait_until("the refusal", || bed.daemon().stderr().contains("staying"));
    group.set_limit(4 * SIZE);
    bed.take_daemon().finish().success();
    hog.verify();
    drop(hog);
    drop(group);
    bed.assert_nothing_left();
}

/// Aborts the FUSE connection of the file system at `path`.
fn abort(path: &Path) {
    let device = fs::metadata(path).expect("it is mounted").st_dev();
    let number = rustix::fs::minor(device).to_string();
    // Mounted here, since not every machine shows connections in /sys/fs/fuse/connections.
    let control = tempfile::tempdir().expect("a directory");
    mount(
        "fusectl",
        control.path(),
        "fusectl",
        MountFlags::empty(),
        None,
    )
    .expect("fusectl");
    let written = fs::write(control.path().join(number).join("abort"), "1");
    unmount(control.path(), UnmountFlags::empty()).expect("not in use");
    written.expect("a connection");
}

/// A device whose connection was aborted is an error in the log and in the status; it can be swapped
/// off and reset.
#[test]
fn aborted_device() {
    for transport in ["fuse", "fuse-uring"] {
        let Some(mut bed) = Bed::new() else { return };
        if transport == "fuse-uring" && !needs::file("/sys/module/fuse/parameters/enable_uring") {
            return;
        }
        bed.start(&["--num-devices", "1", "--transport", transport]);
        swap_on(&bed);
        assert_eq!(bed.device(0).error, None);
        abort(&bed.runtime_dir().join("ramzswap0"));
        wait_until("the error", || bed.device(0).error.is_some());
        let log = bed.daemon().stderr();
        assert!(log.contains("FUSE connection was aborted"), "{log}");
        let status = bed.compcache(&["status"]).success();
        assert!(
            status.contains("error: device ramzswap0 is not served any more"),
            "{status}"
        );
        bed.compcache(&["swap", "off"]).success();
        swap_on(&bed);
        assert_eq!(bed.device(0).error, None, "a new one");
        bed.stop();
        bed.assert_nothing_left();
    }
}

/// So is a mount, until somebody takes it away.
#[test]
fn aborted_mount() {
    let Some(mut bed) = MountBed::mounted(Mode::Back, &[]) else {
        return;
    };
    fs::write(bed.point().join("file"), "dirty").expect("a file");
    abort(bed.point());
    let aborted = |bed: &MountBed| {
        let status = bed.bed().compcache(&["status"]).success();
        status.contains("its FUSE connection was aborted")
    };
    wait_until("the error in the status", || aborted(&bed));
    let log = bed.daemon().stderr();
    assert!(log.contains("its FUSE connection was aborted"), "{log}");
    let written = fs::read(bed.source().join("file")).expect("what was dirty");
    assert_eq!(written, b"dirty");
    Outcome::of(Command::new("umount").arg("-l").arg(bed.point())).success();
    assert!(!aborted(&bed));
    assert!(mounts_under(bed.point()).is_empty());
    bed.mount(Mode::Back, &[]);
    assert_eq!(
        fs::read(bed.point().join("file")).expect("it works"),
        b"dirty"
    );
    bed.umount();
}
