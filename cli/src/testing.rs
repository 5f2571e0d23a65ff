//! Values for tests.

use compcache_device::freed::Freeing;
use compcache_device::status::{DeviceStats, Driver, State, SwapUse};
use compcache_device::{DeviceStatus, ParamsUpdate};
use compcached::protocol::DaemonStatus;

/// A device of 1 GiB that is swapped on and has done nothing yet.
pub(crate) fn device_status(number: u32) -> DeviceStatus {
    DeviceStatus {
        number,
        driver: Driver::User,
        state: State::Ready,
        node: format!("/dev/ramzswap{number}").into(),
        block_device: Some("/dev/loop3".into()),
        transport: Some("fuse".into()),
        error: None,
        dead_slots: Some(Freeing::AtOnce),
        swap: Some(SwapUse {
            priority: 1,
            used_bytes: 5 << 20,
            size_bytes: (1 << 30) - 4096,
        }),
        params: ParamsUpdate::default(),
        disksize: 1 << 30,
        memlimit: None,
        backing_swap: None,
        backing_encryption: None,
        codec: "lz4".into(),
        recompress: "zstd:1".into(),
        recompress_after: 30,
        recompress_cpu: 10,
        stats: DeviceStats::default(),
    }
}

/// A daemon with two devices.
pub(crate) fn daemon_status() -> DaemonStatus {
    DaemonStatus {
        version: "0.1.0".into(),
        pid: 77,
        mount_pid: None,
        num_devices: 2,
        leases: 0,
        kernel_lease: None,
        uptime_seconds: 3660,
        warnings: Vec::new(),
    }
}
