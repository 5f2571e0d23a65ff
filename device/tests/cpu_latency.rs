//! The bound on how long idle CPUs take to wake: there while requests come quickly, gone after.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use common::{PAGE, buffer, fixture, open_direct, wait_until};
use compcache_device::cpu_latency::CpuLatency;
use compcache_device::settings::{Channel, CpuLatencySetting};
use compcache_device::{Device, SwapDevice as _};

/// What holds now for the whole machine, in microseconds.
fn bound(device: &File) -> i32 {
    let mut bytes = [0; 4];
    device.read_exact_at(&mut bytes, 0).unwrap();
    i32::from_ne_bytes(bytes)
}

#[test]
fn a_busy_device_bounds_it_and_an_idle_one_does_not() {
    if !common::can_attach() {
        return;
    }
    // A number that nobody else asks for. Idle states of their own are not needed for this.
    let setting = CpuLatencySetting::Microseconds(7);
    let Some(cpu_latency) = CpuLatency::start(setting).unwrap() else {
        let _ = compcache_test_support::needs::kernel(false, "a cpuidle driver");
        return;
    };
    let mut fixture = fixture(Channel::Auto);
    let mut env = (*fixture.env).clone();
    env.cpu_latency = Some(Arc::new(cpu_latency));
    fixture.device = Arc::new(Device::new(0, Arc::new(env)));
    fixture.init(1 << 20);
    let kernel = File::open(Path::new("/dev/cpu_dma_latency")).unwrap();
    let (disk, mut io) = (open_direct(&fixture.device.node()), buffer());
    for _ in 0..2 {
        wait_until("the bound holds while requests come", || {
            let mut page = buffer();
            for _ in 0..100 {
                disk.read_exact_at(&mut page.0[..PAGE], 0).unwrap();
            }
            bound(&kernel) <= 7
        });
        wait_until("it is released when none come", || bound(&kernel) > 7);
    }
    disk.read_exact_at(&mut io.0[..PAGE], 0).unwrap();
    drop(disk);
    fixture.device.reset().unwrap();
    fixture.assert_clean();
}
