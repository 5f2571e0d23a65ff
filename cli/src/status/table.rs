//! The status of the daemon and its devices as a table.

use std::fmt::Write as _;

use compcache_device::status::State;
use compcache_device::{DeviceStatus, ParamsUpdate};
use compcache_host::printable::{self, Printable};
use compcached::size::human;

use super::{Report, mounts};
use crate::columns::{self, Column};
use crate::rzscontrol::stats;

const COLUMNS: [Column<'_>; 10] = [
    ("NAME", false),
    ("BLOCK", false),
    ("CODEC", false),
    ("SIZE", true),
    ("DATA", true),
    ("COMPR", true),
    ("TOTAL", true),
    ("RATIO", true),
    ("SWAP", true),
    ("PRIO", true),
];

/// The driver's line, the daemon's, the tables of devices and mounts, and with `verbose` all about
/// each.
pub(super) fn format(report: &Report, verbose: bool) -> String {
    let Report {
        driver,
        daemon,
        devices,
        mounts,
        ..
    } = report;
    // A daemon that can have no devices need not say so.
    let has_devices = daemon.as_ref().is_none_or(|daemon| daemon.num_devices > 0);
    let mut out = String::new();
    if has_devices || !devices.is_empty() {
        let _ = writeln!(out, "{}", Printable(driver));
    }
    if let Some(daemon) = daemon {
        let _ = writeln!(
            out,
            "compcached {}, process {}, up {}, {} device(s), {} lease(s)",
            daemon.version,
            daemon.pid,
            duration(daemon.uptime_seconds),
            daemon.num_devices,
            daemon.leases,
        );
        for warning in &daemon.warnings {
            let _ = writeln!(out, "warning: {}", Printable(warning));
        }
    }
    for error in devices.iter().filter_map(|device| device.error.as_ref()) {
        let _ = writeln!(out, "error: {}", Printable(error));
    }
    // Those that were not touched yet have nothing to show.
    let shown: Vec<_> = devices
        .iter()
        .filter(|device| device.state == State::Ready || device.params != ParamsUpdate::default())
        .collect();
    if shown.is_empty() {
        if has_devices || mounts.is_empty() {
            out.push_str("no device is initialised\n");
        }
    } else {
        out.push('\n');
        out.push_str(&columns::format(&COLUMNS, shown.into_iter().map(row)));
    }
    if !mounts.is_empty() {
        out.push('\n');
        out.push_str(&mounts::rows(mounts));
    }
    if verbose {
        for device in devices.iter().filter(|device| device.state == State::Ready) {
            let _ = write!(
                out,
                "\n{}\n{}{}",
                printable::path(&device.node),
                stats::format(device),
                stats::format_more(device)
            );
        }
        for mount in mounts {
            let _ = write!(out, "\n{}", mounts::details(mount));
        }
    }
    out
}

fn row(device: &DeviceStatus) -> [String; COLUMNS.len()] {
    let none = || "-".to_owned();
    let stats = &device.stats.store;
    let ready = device.state == State::Ready;
    let when_ready = |text: String| if ready { text } else { none() };
    let pages = stats.pages();
    let original = stats.pages_stored * 4096;
    let ratio = if stats.compr_bytes > 0 {
        format!("{:.2}", original as f64 / stats.compr_bytes as f64)
    } else {
        none()
    };
    [
        device.node.display().to_string(),
        device
            .block_device
            .as_ref()
            .map_or_else(none, |path| path.display().to_string()),
        when_ready(device.codec.clone()),
        if device.disksize > 0 {
            human(device.disksize)
        } else {
            none()
        },
        when_ready(human(pages * 4096)),
        when_ready(human(stats.compr_bytes)),
        when_ready(human(stats.memory_bytes())),
        ratio,
        device.swap.map_or_else(none, |swap| human(swap.used_bytes)),
        device
            .swap
            .map_or_else(none, |swap| swap.priority.to_string()),
    ]
}

/// A time in its two largest units: `3d 4h`, `5m 6s`, `7s`.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::report;
    use crate::testing::device_status;
    use compcache_device::status::Driver;

    /// The report of a daemon with these devices, and no mount.
    fn with(devices: Vec<DeviceStatus>) -> Report {
        Report {
            devices,
            mounts: Vec::new(),
            ..report()
        }
    }

    #[test]
    fn a_device_in_use_and_one_that_is_new() {
        let mut used = device_status(0);
        used.stats.store.pages_stored = 30_000;
        used.stats.store.zero_pages = 720;
        used.stats.store.compr_bytes = 40_960_000;
        used.stats.store.pool_bytes = 42 << 20;
        used.stats.store.table_bytes = 2 << 20;
        let mut new = device_status(1);
        new.state = State::New;
        new.block_device = None;
        new.swap = None;
        new.disksize = 0;
        let untouched = new.clone();
        new.params.codec = Some("zstd".into());
        let expected = "\
driver: user (auto); kernel driver: not loaded: module ramzswap not found for 6.1.0
compcached 0.1.0, process 77, up 1h 1m, 2 device(s), 0 lease(s)

NAME            BLOCK       CODEC  SIZE  DATA  COMPR  TOTAL  RATIO  SWAP  PRIO
/dev/ramzswap0  /dev/loop3  lz4      1G  120M  39.1M    44M   3.00    5M     1
/dev/ramzswap1  -           -         -     -      -      -      -     -     -
";
        assert_eq!(format(&with(vec![used, new, untouched]), false), expected);
    }

    #[test]
    fn the_kernel_drivers_devices_need_no_daemon() {
        let mut report = with(vec![device_status(0)]);
        report.daemon = None;
        report.driver.used = Some(Driver::Kernel);
        report.driver.kernel = "loaded, 1 device(s), simd=avx2".into();
        let text = format(&report, false);
        let expected =
            "driver: kernel (auto); kernel driver: loaded, 1 device(s), simd=avx2\n\nNAME";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn nothing_in_use() {
        let mut new = device_status(0);
        new.state = State::New;
        let text = format(&with(vec![new]), false);
        assert!(
            text.ends_with("lease(s)\nno device is initialised\n"),
            "{text}"
        );
    }

    #[test]
    fn details_and_warnings() {
        let mut report = with(vec![device_status(0)]);
        report.devices[0].error = Some("it is not served".into());
        let daemon = report.daemon.as_mut().unwrap();
        daemon.warnings.push("mlockall was refused".into());
        let text = format(&report, true);
        let above = "\nwarning: mlockall was refused\nerror: it is not served\n\nNAME";
        assert!(text.contains(above), "{text}");
        assert!(
            text.contains("\n/dev/ramzswap0\nDiskSize:\t 1048576 kB\n"),
            "{text}"
        );
        assert!(text.contains("SwapPriority:\t       1\n"), "{text}");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(61), "1m 1s");
        assert_eq!(duration(90_061), "1d 1h");
    }
}
