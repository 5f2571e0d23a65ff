//! What a user writes to choose a codec: `lz4`, `zstd`, `zstd:3`, `wks:fast`.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use super::wks::Wks;
use super::{CodecId, by_id, selectable};

/// A codec and its level, as a device is told to use it for new pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecSpec {
    id: CodecId,
    level: i8,
}

impl CodecSpec {
    /// LZ4, the default.
    pub const LZ4: CodecSpec = CodecSpec {
        id: CodecId::Lz4,
        level: 0,
    };

    /// Zstandard at its fastest regular level, the default for cold pages.
    #[cfg(feature = "zstd")]
    pub const ZSTD: CodecSpec = CodecSpec {
        id: CodecId::Zstd,
        level: 1,
    };

    /// The levels of zstd that are offered: below −7 nothing gets faster, above 9 nothing
    /// on a page of 4096 bytes gets smaller that would pay for the time.
    pub const ZSTD_LEVELS: core::ops::RangeInclusive<i8> = -7..=9;

    /// `wks:fast`: strides only.
    pub const WKS_FAST: CodecSpec = CodecSpec {
        id: CodecId::Wks,
        level: Wks::FAST,
    };

    /// `wks:balanced`: strides and far words; what `wks` alone means.
    pub const WKS_BALANCED: CodecSpec = CodecSpec {
        id: CodecId::Wks,
        level: Wks::BALANCED,
    };

    /// A selectable codec at its default level.
    ///
    /// # Errors
    /// [`UnknownCodec`] where this build does not have the codec or it can't be chosen.
    pub fn new(id: CodecId) -> Result<Self, UnknownCodec> {
        match by_id(id) {
            Some(_) => Ok(CodecSpec {
                id,
                level: match id {
                    CodecId::Zstd => 1,
                    CodecId::Wks => Wks::BALANCED,
                    _ => 0,
                },
            }),
            None => Err(UnknownCodec::of(id.name())),
        }
    }

    /// The codec.
    #[must_use]
    pub const fn id(self) -> CodecId {
        self.id
    }

    /// The level; 0 for codecs without levels.
    #[must_use]
    pub const fn level(self) -> i8 {
        self.level
    }

    /// Packs the choice into 16 bits, so that a live device can change it with one store.
    #[must_use]
    pub(crate) const fn to_bits(self) -> u16 {
        (self.id as u16) << 8 | (self.level as u8) as u16
    }

    /// The inverse of [`CodecSpec::to_bits`].
    pub(crate) fn from_bits(bits: u16) -> Self {
        let [number, level] = bits.to_be_bytes();
        CodecSpec {
            id: CodecId::from_number(number).unwrap_or(CodecId::Lz4),
            level: level as i8,
        }
    }
}

impl Default for CodecSpec {
    fn default() -> Self {
        CodecSpec::WKS_BALANCED
    }
}

impl fmt::Display for CodecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.name())?;
        match self.id {
            CodecId::Zstd => write!(f, ":{}", self.level),
            CodecId::Wks if self.level == Wks::FAST => f.write_str(":fast"),
            CodecId::Wks => f.write_str(":balanced"),
            _ => Ok(()),
        }
    }
}

impl FromStr for CodecSpec {
    type Err = UnknownCodec;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (name, level) = match s.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (s, None),
        };
        let id = selectable()
            .find(|id| id.name() == name)
            .ok_or_else(|| UnknownCodec::of(s))?;
        let mut spec = CodecSpec::new(id)?;
        if let Some(level) = level {
            let level = match (id, level) {
                (CodecId::Zstd, level) => {
                    level.parse().ok().filter(|l| Self::ZSTD_LEVELS.contains(l))
                }
                (CodecId::Wks, "fast") => Some(Wks::FAST),
                (CodecId::Wks, "balanced") => Some(Wks::BALANCED),
                _ => None,
            };
            spec.level = level.ok_or_else(|| UnknownCodec::of(s))?;
        }
        Ok(spec)
    }
}

/// A codec's name that this build does not know, or a level that its codec does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown codec '{given}': choose one of {known} (zstd takes a level, zstd:-7 to zstd:9; wks is wks:fast or wks:balanced)"
)]
pub struct UnknownCodec {
    given: String,
    known: String,
}

impl UnknownCodec {
    fn of(given: &str) -> Self {
        let mut known = String::new();
        for id in selectable() {
            if !known.is_empty() {
                known.push_str(", ");
            }
            known.push_str(id.name());
        }
        UnknownCodec {
            given: given.to_string(),
            known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_reads_back_what_it_prints() {
        for text in ["lz4", "lzo", "wkdm", "wks:fast", "wks:balanced"] {
            let spec: CodecSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
            assert_eq!(CodecSpec::from_bits(spec.to_bits()), spec);
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_takes_levels() {
        assert_eq!("zstd".parse::<CodecSpec>().unwrap().level(), 1);
        for level in CodecSpec::ZSTD_LEVELS {
            let spec: CodecSpec = alloc::format!("zstd:{level}").parse().unwrap();
            assert_eq!(spec.level(), level);
            assert_eq!(CodecSpec::from_bits(spec.to_bits()), spec);
        }
        for bad in ["zstd:10", "zstd:-8", "zstd:", "zstd:x", "zstd:1:2"] {
            assert!(bad.parse::<CodecSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wks_has_two_names_and_is_balanced_without_one() {
        assert_eq!("wks".parse(), Ok(CodecSpec::WKS_BALANCED));
        assert_eq!("wks:fast".parse(), Ok(CodecSpec::WKS_FAST));
        assert_eq!(CodecSpec::new(CodecId::Wks), Ok(CodecSpec::WKS_BALANCED));
        for bad in ["wks:", "wks:1", "wks:Fast", "wks:fast:"] {
            assert!(bad.parse::<CodecSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_codec_is_named_and_the_known_ones_listed() {
        for bad in ["lzma", "", "raw", "fill", "lz4:1", "LZ4"] {
            let message = bad.parse::<CodecSpec>().unwrap_err().to_string();
            assert!(message.contains(&alloc::format!("'{bad}'")), "{message}");
            assert!(message.contains("lzo, wkdm, lz4"), "{message}");
        }
    }
}
