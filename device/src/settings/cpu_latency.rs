//! How quickly idle CPUs are to wake.

use std::fmt;
use std::str::FromStr;

/// The largest number that means something, in microseconds: no idle state takes longer.
const MAX_US: u32 = 1_000_000;

/// How long idle CPUs may take to wake while a device is busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuLatencySetting {
    /// By what the machine has: in a virtual machine whose kernel can poll instead of giving
    /// the CPU back (cpuidle's driver `haltpoll`) 0, elsewhere 2 microseconds, which is what
    /// the first real idle state takes.
    #[default]
    Auto,
    /// The machine's idle states are left alone.
    Off,
    /// So many microseconds, at most 1,000,000; with 0 idle CPUs poll.
    Microseconds(u32),
}

impl CpuLatencySetting {
    /// The bound in microseconds if `driver` drives the idle states; `None` for none.
    pub(crate) fn bound(self, driver: &[u8]) -> Option<i32> {
        match self {
            CpuLatencySetting::Off => None,
            // Without a driver there are no states to choose from.
            _ if driver.is_empty() || driver == b"none" => None,
            CpuLatencySetting::Auto if driver == b"haltpoll" => Some(0),
            CpuLatencySetting::Auto => Some(2),
            CpuLatencySetting::Microseconds(us) => i32::try_from(us).ok(),
        }
    }
}

impl fmt::Display for CpuLatencySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CpuLatencySetting::Auto => f.write_str("auto"),
            CpuLatencySetting::Off => f.write_str("off"),
            CpuLatencySetting::Microseconds(us) => us.fmt(f),
        }
    }
}

/// A text that is no [`CpuLatencySetting`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a CPU latency: give auto, off, or microseconds from 0 to 1000000")]
pub struct UnknownCpuLatency(String);

impl FromStr for CpuLatencySetting {
    type Err = UnknownCpuLatency;

    fn from_str(text: &str) -> Result<Self, UnknownCpuLatency> {
        match text {
            "auto" => Ok(CpuLatencySetting::Auto),
            "off" => Ok(CpuLatencySetting::Off),
            _ => text
                .parse()
                .ok()
                .filter(|us| *us <= MAX_US)
                .map(CpuLatencySetting::Microseconds)
                .ok_or_else(|| UnknownCpuLatency(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in ["auto", "off", "0", "20", "1000000"] {
            let setting: CpuLatencySetting = text.parse().unwrap();
            assert_eq!(setting.to_string(), text);
        }
        for text in ["", "on", "-1", "1000001", "2us"] {
            let error = text.parse::<CpuLatencySetting>().unwrap_err().to_string();
            assert!(error.contains("auto, off, or microseconds"), "{error}");
        }
    }

    #[test]
    fn the_bound_depends_on_what_drives_the_idle_states() {
        use CpuLatencySetting::{Auto, Microseconds, Off};
        assert_eq!(Auto.bound(b"haltpoll"), Some(0));
        assert_eq!(Auto.bound(b"intel_idle"), Some(2));
        assert_eq!(Auto.bound(b"none"), None);
        assert_eq!(Auto.bound(b""), None);
        assert_eq!(Off.bound(b"haltpoll"), None);
        assert_eq!(Microseconds(20).bound(b"acpi_idle"), Some(20));
    }
}
