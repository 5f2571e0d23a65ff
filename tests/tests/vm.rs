//! A virtual machine is a program like any other: its RAM is larger than the memory it may have,
//! and the guest notices nothing.

use compcache_tests::{Bed, MIB, PAGE, Running, guest, needs, wait_until};

const QEMU: &str = "qemu-system-x86_64";
/// Memory that the guest has, in MiB.
const RAM: u64 = 320;
/// Memory that QEMU may have for that and for itself, in MiB.
const LIMIT: u64 = 128;

#[test]
fn guest_with_more_ram_than_its_limit() {
    if !needs::programs(&[QEMU, "gcc"]) {
        return;
    }
    let Some(bed) = Bed::with_devices(1) else {
        return;
    };
    let kernel = guest(bed.directory());
    let mut running = Running::start(
        bed.command("compcache")
            .args(["run", "--memory", &format!("{LIMIT}M"), "--"])
            .args([QEMU, "-accel", "tcg,tb-size=16", "-m", &RAM.to_string()])
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio", "-device"])
            .args(["isa-debug-exit,iobase=0xf4,iosize=1", "-kernel"])
            .arg(kernel)
            .stdin(std::process::Stdio::null()),
    );
    let mut peak = (0, 0);
    wait_until("the end of the guest", || {
        let stats = bed.device(0).stats.store;
        peak = (peak.0.max(stats.reads), peak.1.max(stats.writes));
        running.has_ended()
    });
    let out = running.finish();
    assert!(out.stdout.contains("verified twice"), "{out}");
    // What isa-debug-exit makes of 0x10.
    assert_eq!(out.code(), 0x10 << 1 | 1, "{out}");
    assert!(out.stderr.contains("swapped out in all"), "{out}");
    // All that did not fit went out at least once, and came back twice.
    let overflow = (RAM - LIMIT) * MIB / PAGE;
    assert!(peak.1 >= overflow, "{peak:?} pages read and written: {out}");
    assert!(peak.0 >= overflow, "{peak:?} pages read and written: {out}");
    assert!(bed.device(0).block_device.is_none());
}
