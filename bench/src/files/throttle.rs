//! How fast a disk may be.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The speed of a disk, the same for reads and for writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Throttle {
    /// As fast as it is.
    None,
    At {
        /// Bytes in a second.
        bytes: u64,
        /// Operations in a second.
        operations: u64,
    },
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Throttle::None => f.write_str("unthrottled"),
            Throttle::At { bytes, operations } => {
                let megabytes = *bytes as f64 / 1e6;
                write!(f, "{megabytes:.0} MB/s, {operations} IOPS")
            }
        }
    }
}

impl Serialize for Throttle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Throttle {
    type Err = String;

    /// `none`, or bytes and operations in a second as in `20M:500`, where M is a million.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not BYTES:OPERATIONS in a second, for example 20M:500, nor none")
        };
        if text == "none" {
            return Ok(Throttle::None);
        }
        let (bytes, operations) = text.split_once(':').ok_or_else(wrong)?;
        let (number, unit) = match bytes.strip_suffix(['k', 'K']) {
            Some(number) => (number, 1000),
            None => match bytes.strip_suffix('M') {
                Some(number) => (number, 1_000_000),
                None => (bytes, 1),
            },
        };
        let positive = |text: &str| text.parse::<u64>().ok().filter(|&number| number > 0);
        Ok(Throttle::At {
            bytes: positive(number)
                .and_then(|number| number.checked_mul(unit))
                .ok_or_else(wrong)?,
            operations: positive(operations).ok_or_else(wrong)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_and_shown() {
        let slow = Throttle::At {
            bytes: 20_000_000,
            operations: 500,
        };
        assert_eq!("20M:500".parse(), Ok(slow));
        assert_eq!("20000k:500".parse(), Ok(slow));
        assert_eq!(slow.to_string(), "20 MB/s, 500 IOPS");
        assert_eq!("none".parse(), Ok(Throttle::None));
        for wrong in [
            "", "20M", "20M:", "0:500", "20M:0", "-1:1", "20MB:500", "1:2:3",
        ] {
            assert!(wrong.parse::<Throttle>().is_err(), "{wrong}");
        }
    }
}
