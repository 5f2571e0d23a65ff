//! What a user sets about cold pages, and its limits.

use std::fmt;
use std::str::FromStr;

use compcache_engine::CodecSpec;
use compcache_engine::codec::UnknownCodec;
use compcache_engine::disk::{
    AFTER_SECONDS, CPU_PERCENT, DEFAULT_AFTER_SECONDS, DEFAULT_CPU_PERCENT,
};

/// What cold pages are recompressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdCodec {
    /// Nothing: they stay as they are.
    Off,
    /// This codec.
    Codec(CodecSpec),
}

impl fmt::Display for ColdCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColdCodec::Off => f.write_str("off"),
            ColdCodec::Codec(spec) => spec.fmt(f),
        }
    }
}

impl FromStr for ColdCodec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(ColdCodec::Off),
            codec => Ok(ColdCodec::Codec(codec.parse()?)),
        }
    }
}

/// When and how cold pages are recompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompress {
    /// By which codec, if at all.
    pub codec: ColdCodec,
    /// How long a page was neither read nor written before it counts as cold, in seconds.
    pub after_seconds: u32,
    /// The share of one CPU that it may use, in per cent.
    pub cpu_percent: u32,
}

impl Default for Recompress {
    /// With zstd:1, when and how fast [`disk`](compcache_engine::disk) says.
    fn default() -> Self {
        Recompress {
            codec: ColdCodec::Codec(CodecSpec::ZSTD),
            after_seconds: DEFAULT_AFTER_SECONDS,
            cpu_percent: DEFAULT_CPU_PERCENT,
        }
    }
}

/// A number that is not within its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange {
    /// A time after which pages count as cold, in seconds.
    #[error(
        "recompress-after of {value} s is out of range: give {} to {} seconds",
        AFTER_SECONDS.start(), AFTER_SECONDS.end()
    )]
    AfterSeconds {
        /// The value.
        value: u32,
    },
    /// A share of a CPU, in per cent.
    #[error(
        "recompress-cpu of {value} % is out of range: give {} to {} (per cent of one CPU), or \
         switch recompression off with recompress 'off'",
        CPU_PERCENT.start(), CPU_PERCENT.end()
    )]
    CpuPercent {
        /// The value.
        value: u32,
    },
}

/// A time that is within its limits.
pub(crate) fn after_seconds(value: u32) -> Result<u32, OutOfRange> {
    if AFTER_SECONDS.contains(&value) {
        return Ok(value);
    }
    Err(OutOfRange::AfterSeconds { value })
}

/// A share of a CPU that is within its limits.
pub(crate) fn cpu_percent(value: u32) -> Result<u32, OutOfRange> {
    if CPU_PERCENT.contains(&value) {
        return Ok(value);
    }
    Err(OutOfRange::CpuPercent { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_or_off_reads_back() {
        for text in ["off", "zstd:1", "lz4"] {
            assert_eq!(text.parse::<ColdCodec>().unwrap().to_string(), text);
        }
        for bad in ["", "Off", "none", "zstd:99"] {
            assert!(bad.parse::<ColdCodec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_named() {
        assert_eq!(after_seconds(1).unwrap(), 1);
        assert_eq!(after_seconds(86_400).unwrap(), 86_400);
        assert_eq!(cpu_percent(100).unwrap(), 100);
        for bad in [0, 86_401] {
            let message = after_seconds(bad).unwrap_err().to_string();
            let words = format!("recompress-after of {bad} s is out of range: give 1 to 86400");
            assert!(message.contains(&words), "{message}");
        }
        for bad in [0, 101] {
            let message = cpu_percent(bad).unwrap_err().to_string();
            let words = format!("recompress-cpu of {bad} % is out of range: give 1 to 100");
            assert!(message.contains(&words), "{message}");
        }
    }
}
