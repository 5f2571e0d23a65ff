//! zswap, the kernel's compressed cache in front of swap devices (Documentation/admin-guide/mm/zswap.rst).

use std::path::Path;

use crate::proc;

/// The switch of zswap.
const ENABLED: &str = "/sys/module/zswap/parameters/enabled";

/// Pages are compressed by zswap before they reach a swap device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "zswap is on: it compresses pages itself, in memory of its own, and the device gets only what zswap \
     rejects or writes back; switch it off: echo N > {ENABLED}"
)]
pub struct ZswapOn;

impl ZswapOn {
    /// Whether it is so now.
    #[must_use]
    pub fn now() -> Option<Self> {
        Self::of(&proc::read_or_empty(Path::new(ENABLED)))
    }

    /// From the switch's text; empty on a kernel without zswap.
    fn of(switch: &[u8]) -> Option<Self> {
        (switch.trim_ascii() == b"Y").then_some(ZswapOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_read() {
        assert_eq!(ZswapOn::of(b"Y\n"), Some(ZswapOn));
        for off in [&b"N\n"[..], b"", b"\xff"] {
            assert_eq!(ZswapOn::of(off), None);
        }
        let text = ZswapOn.to_string();
        assert!(
            text.ends_with("echo N > /sys/module/zswap/parameters/enabled"),
            "{text}"
        );
    }
}
