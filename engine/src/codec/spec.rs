//! What a user writes to choose a codec: `lz4`, `zstd`, `zstd:3`, `wks:fast`.

use core::fmt;
use core::str::FromStr;

use super::wks;
use super::{Builtin, CodecId, Codecs};

/// A codec and its level, as set for the new pages of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecSpec {
    id: CodecId,
    level: i8,
}

impl CodecSpec {
    /// LZ4.
    pub const LZ4: CodecSpec = CodecSpec {
        id: CodecId::Lz4,
        level: 0,
    };

    /// LZO1X-1.
    pub const LZO: CodecSpec = CodecSpec::of(CodecId::Lzo);

    /// Zstandard at its fastest regular level, the default for cold pages. Not every set of
    /// codecs has it.
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
        level: wks::FAST,
    };

    /// `wks:balanced`: strides and far words; what `wks` alone means.
    pub const WKS_BALANCED: CodecSpec = CodecSpec {
        id: CodecId::Wks,
        level: wks::BALANCED,
    };

    /// A codec at its default level.
    pub(super) const fn of(id: CodecId) -> Self {
        let level = match id {
            CodecId::Zstd => 1,
            CodecId::Wks => wks::BALANCED,
            _ => 0,
        };
        CodecSpec { id, level }
    }

    /// A codec of [`Builtin`] at its default level.
    ///
    /// # Errors
    /// [`UnknownCodec`] if this build does not have the codec or it can't be chosen.
    pub fn new(id: CodecId) -> Result<Self, UnknownCodec> {
        Self::new_in::<Builtin>(id)
    }

    /// A codec of a set at its default level.
    ///
    /// # Errors
    /// [`UnknownCodec`] if the set does not have the codec.
    pub fn new_in<C: Codecs>(id: CodecId) -> Result<Self, UnknownCodec> {
        if C::has(id) {
            Ok(Self::of(id))
        } else {
            Err(UnknownCodec::new::<C>(id.name()))
        }
    }

    /// Reads what a user wrote to choose a codec of a set: `lz4`, `zstd:3`, `wks:fast`.
    ///
    /// # Errors
    /// [`UnknownCodec`] if the set does not have the codec, or the codec not the level.
    pub fn parse_in<C: Codecs>(text: &str) -> Result<Self, UnknownCodec> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let unknown = || UnknownCodec::new::<C>(text);
        let id = C::selectable().find(|id| id.name() == name);
        let spec = Self::of(id.ok_or_else(unknown)?);
        let Some(level) = level else {
            return Ok(spec);
        };
        let level = match (spec.id, level) {
            (CodecId::Zstd, level) if !level.starts_with('+') => level.parse().ok(),
            (CodecId::Wks, "fast") => Some(wks::FAST),
            (CodecId::Wks, "balanced") => Some(wks::BALANCED),
            _ => None,
        };
        level
            .and_then(|level| spec.with_level(level))
            .ok_or_else(unknown)
    }

    /// The same codec at another level; `None` if it does not have that.
    ///
    /// Zstd has [`CodecSpec::ZSTD_LEVELS`], wks 0 (`fast`) and 1 (`balanced`), all others 0.
    #[must_use]
    pub fn with_level(self, level: i8) -> Option<Self> {
        let levels = match self.id {
            CodecId::Zstd => Self::ZSTD_LEVELS,
            CodecId::Wks => wks::FAST..=wks::BALANCED,
            _ => 0..=0,
        };
        levels
            .contains(&level)
            .then_some(CodecSpec { level, ..self })
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
            CodecId::Wks if self.level == wks::FAST => f.write_str(":fast"),
            CodecId::Wks => f.write_str(":balanced"),
            _ => Ok(()),
        }
    }
}

impl FromStr for CodecSpec {
    type Err = UnknownCodec;

    /// [`CodecSpec::parse_in`] of [`Builtin`].
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse_in::<Builtin>(s)
    }
}

/// A codec's name that a set does not know, or a level that its codec does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown codec '{name}': choose one of {known} (zstd takes a level, zstd:-7 to zstd:9; wks is wks:fast or wks:balanced)"
)]
pub struct UnknownCodec {
    name: UnknownName,
    known: Known,
}

impl UnknownCodec {
    fn new<C: Codecs>(name: &str) -> Self {
        UnknownCodec {
            name: UnknownName::new(name),
            known: Known(CodecId::ALL.map(C::has)),
        }
    }

    /// The same error where only those of the known codecs can be chosen that `has` says are there.
    #[must_use]
    pub fn among(self, has: impl Fn(CodecId) -> bool) -> Self {
        let mut known = self.known;
        for (id, is_known) in CodecId::ALL.into_iter().zip(&mut known.0) {
            *is_known &= has(id);
        }
        UnknownCodec { known, ..self }
    }
}

/// The start of what a user gave: an error must not need memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UnknownName {
    start: [u8; UnknownName::MOST],
    /// How many bytes of `start` count.
    kept: usize,
    /// That was not all.
    cut: bool,
}

impl UnknownName {
    /// Bytes that are kept. The longest name has 12.
    const MOST: usize = 40;

    fn new(name: &str) -> Self {
        // Whole characters.
        let mut kept = name.len().min(Self::MOST);
        while !name.is_char_boundary(kept) {
            kept -= 1;
        }
        let mut start = [0; Self::MOST];
        start[..kept].copy_from_slice(&name.as_bytes()[..kept]);
        UnknownName {
            start,
            kept,
            cut: kept < name.len(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.start[..self.kept]).unwrap_or_default())?;
        f.write_str(if self.cut { "…" } else { "" })
    }
}

/// Which codecs can be chosen, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known([bool; CodecId::ALL.len()]);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = CodecId::ALL.into_iter().zip(self.0).filter(|(_, has)| *has);
        for (n, (id, _)) in known.enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            f.write_str(id.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_spec_reads_back_what_it_prints() {
        for text in ["lz4", "lzo", "wks:fast", "wks:balanced"] {
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
        for bad in [
            "zstd:10", "zstd:-8", "zstd:", "zstd:x", "zstd:+3", "zstd:1:2",
        ] {
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
            let first = if cfg!(feature = "wkdm") {
                "lzo, wkdm, lz4"
            } else {
                "lzo, lz4"
            };
            assert!(message.contains(first), "{message}");
        }
    }

    #[test]
    fn those_that_are_not_there_are_not_listed() {
        let error = "lzma".parse::<CodecSpec>().unwrap_err();
        let message = error.among(|id| id != CodecId::Wkdm).to_string();
        assert!(message.contains("one of lzo, lz4"), "{message}");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = "ä".repeat(30) + "x";
        let message = long.parse::<CodecSpec>().unwrap_err().to_string();
        assert!(
            message.contains(&alloc::format!("'{}…'", "ä".repeat(20))),
            "{message}"
        );
    }

    /// A set as a kernel has it: another zstd, no wkdm.
    struct Kernels;

    impl Codecs for Kernels {
        type Scratch = ();

        fn scratch() -> Result<(), crate::fallible::NoMemory> {
            Ok(())
        }

        fn has(id: CodecId) -> bool {
            id == CodecId::Zstd || Builtin::has(id) && id != CodecId::Wkdm
        }

        fn compress(_: CodecSpec, _: &crate::Page, (): &mut (), _: &mut [u8]) -> Option<usize> {
            None
        }

        fn decompress(
            codec: CodecId,
            _: &[u8],
            (): &mut (),
            _: &mut crate::Page,
        ) -> Result<(), crate::codec::Corrupt> {
            Err(crate::codec::Corrupt { codec })
        }
    }

    #[test]
    fn a_set_decides_what_its_specs_are() {
        let spec = CodecSpec::parse_in::<Kernels>("zstd:3").unwrap();
        assert_eq!((spec.id(), spec.level()), (CodecId::Zstd, 3));
        assert_eq!(spec.to_string(), "zstd:3");
        assert_eq!(
            CodecSpec::new_in::<Kernels>(CodecId::Zstd),
            Ok(CodecSpec::ZSTD)
        );
        let error = CodecSpec::parse_in::<Kernels>("wkdm").unwrap_err();
        assert!(
            error.to_string().contains("lzo, lz4, zstd, wks ("),
            "{error}"
        );
        assert_eq!(CodecSpec::new_in::<Kernels>(CodecId::Wkdm), Err(error));
    }
}
