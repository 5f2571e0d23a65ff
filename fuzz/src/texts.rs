//! Texts: tables of the kernel, in which users choose names, and what users write.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use compcache_device::settings::{ColdCodec, DeadSlots, DriverChoice};
use compcache_device::swap;
use compcache_engine::CodecSpec;
use compcache_host::cgroup::Hierarchies;
use compcache_host::{mountinfo, proc};
use compcached::size::{Size, parse_kilobytes};

/// Any bytes as a table of the kernel: mounts, swap areas, cgroups, a process. A path is never longer than
/// its escaped form.
pub fn kernel_tables(data: &[u8]) {
    for mount in mountinfo::parse(data) {
        for path in [&mount.mountpoint, &mount.root] {
            assert!(path.as_os_str().len() <= data.len());
        }
        let _ = mount.has_super_option("user_id=0");
        assert!(mountinfo::find(data, &mount.mountpoint).is_some());
    }
    for entry in swap::parse(data) {
        assert!(entry.path.as_os_str().len() <= data.len());
    }
    let _ = Hierarchies::find(data, data);
    let _ = proc::stat_fields(data).map(Iterator::count);
    let _ = proc::device_numbers(data);
    for line in proc::lines(data) {
        for word in proc::words(line) {
            let _ = (
                proc::number(word),
                proc::unescape(word),
                proc::value(data, "VmRSS:"),
            );
        }
    }
}

/// Any text where a user writes a size, a codec or another setting: what is understood reads back
/// from its own text.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    reads_back::<Size>(text);
    reads_back::<CodecSpec>(text);
    reads_back::<ColdCodec>(text);
    reads_back::<DeadSlots>(text);
    reads_back::<DriverChoice>(text);
    if let Ok(size) = text.parse::<Size>() {
        for ram in [0, 4096, 1 << 34, u64::MAX] {
            if let Ok(bytes) = size.resolve(ram) {
                assert!(
                    bytes >= 4096 && bytes.is_multiple_of(4096),
                    "{text}: {bytes}"
                );
            }
        }
    }
    if let Ok(bytes) = parse_kilobytes(text) {
        assert!(bytes > 0 && bytes.is_multiple_of(1024), "{text}: {bytes}");
    }
}

fn reads_back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    assert_eq!(
        shown.parse().ok(),
        Some(value),
        "{text} is shown as {shown}"
    );
}
