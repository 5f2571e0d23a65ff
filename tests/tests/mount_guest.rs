//! The RAM of a virtual machine lies in a file on a memory mount, and the guest notices nothing.

use compcache_tests::{Cgroup, MIB, Mode, MountBed, Running, guest, needs};

const QEMU: &str = "qemu-system-x86_64";
/// Memory that the guest has, in MiB.
const RAM: u64 = 144;
/// Memory that QEMU may have for that and for itself, in MiB.
const LIMIT: u64 = 96;

#[test]
fn memory_of_a_guest() {
    if !needs::programs(&[QEMU, "gcc"]) {
        return;
    }
    let Some(bed) = MountBed::mounted(Mode::Ram, &["--size", "256M"]) else {
        return;
    };
    let kernel = guest(bed.bed().directory());
    let group = Cgroup::new(LIMIT * MIB);
    let memory = format!(
        "memory-backend-file,id=ram,size={RAM}M,share=on,mem-path={}",
        bed.point().join("guest").display()
    );
    let out = Running::start(
        group
            .command(QEMU.as_ref())
            .args(["-accel", "tcg,tb-size=16", "-m", &RAM.to_string()])
            .args(["-object", &memory, "-machine", "pc,memory-backend=ram"])
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio", "-device"])
            .args(["isa-debug-exit,iobase=0xf4,iosize=1", "-kernel"])
            .arg(kernel)
            .stdin(std::process::Stdio::null()),
    )
    .finish();
    assert!(out.stdout.contains("verified twice"), "{out}");
    // What isa-debug-exit makes of 0x10.
    assert_eq!(out.code(), 0x10 << 1 | 1, "{out}");
    let status = bed.status();
    // What did not fit under the limit came here, and takes less than it is.
    assert!(status.pages * 4096 >= (RAM - LIMIT) * MIB, "{status:?}");
    assert!(
        status.compressed_bytes < status.pages * 4096 / 2,
        "{status:?}"
    );
    bed.umount();
}
