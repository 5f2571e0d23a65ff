//! Sizes as users write them: `1073741824`, `512M`, `1G`, `25%`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest size anything here may have, in bytes: 2^44 (16 TiB, 2^32 pages), the most that
/// a slot table can index.
pub const MAX_BYTES: u64 = 1 << 44;

/// The largest percentage of RAM that is accepted.
const MAX_PERCENT: u64 = 1000;

/// What is wrong with a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a whole number with a known unit.
    #[error(
        "{0:?} is not a size: write a whole number of bytes, or one with K, M, G, T or %, for example 512M"
    )]
    NotANumber(String),
    /// Nothing, although something is needed.
    #[error("{0:?} is zero: the smallest size is one page, 4096 bytes")]
    Zero(String),
    /// Below zero.
    #[error("{0:?} is negative: the smallest size is one page, 4096 bytes")]
    Negative(String),
    /// Above [`MAX_BYTES`].
    #[error("{0:?} is too large: the limit is 16T (2^44 bytes)")]
    TooLarge(String),
    /// Above a thousand percent.
    #[error("{0:?} is too large: the limit is {MAX_PERCENT}% of RAM")]
    TooManyPercent(String),
    /// Not a whole number of kilobytes.
    #[error(
        "{0:?} is not a number of kilobytes: write a whole number, for example 1048576 for 1 GiB"
    )]
    NotKilobytes(String),
    /// More kilobytes than [`MAX_BYTES`].
    #[error("{value:?} kB is too large: the limit is {limit} kB (2^44 bytes)", value = .0, limit = MAX_BYTES / 1024)]
    TooManyKilobytes(String),
    /// No kilobytes at all.
    #[error("{0:?} kB is zero: the smallest size is one page, 4 kB")]
    ZeroKilobytes(String),
    /// Fewer than no kilobytes.
    #[error("{0:?} kB is negative: the smallest size is one page, 4 kB")]
    NegativeKilobytes(String),
}

/// A memory limit on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// None, written as 0.
    None,
    /// So much.
    Size(Size),
}

impl Limit {
    /// The limit in bytes on a machine with `ram` bytes of memory, not rounded; 0: none.
    ///
    /// # Errors
    /// Those of [`Size::exactly`].
    pub fn exactly(self, ram: u64) -> Result<u64, SizeError> {
        match self {
            Limit::None => Ok(0),
            Limit::Size(size) => size.exactly(ram),
        }
    }
}

impl FromStr for Limit {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        match text.parse() {
            Err(SizeError::Zero(_)) => Ok(Limit::None),
            size => size.map(Limit::Size),
        }
    }
}

/// A size on the command line, in `1..=2^44` bytes or `1..=1000` percent of RAM. In the control
/// protocol it is the text that `Display` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Size {
    /// A number of bytes.
    Bytes(u64),
    /// Percent of the machine's memory.
    Percent(u32),
}

impl Size {
    /// The size in bytes on a machine with `ram` bytes of memory, whole pages (rounded down,
    /// but never below one page).
    ///
    /// # Errors
    /// Those of [`Size::exactly`].
    pub fn resolve(self, ram: u64) -> Result<u64, SizeError> {
        Ok((self.exactly(ram)? & !4095).max(4096))
    }

    /// The size in bytes on a machine with `ram` bytes of memory, not rounded: for whoever checks it
    /// and names it in an error.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] if a percentage comes to more than 2^44 bytes.
    pub fn exactly(self, ram: u64) -> Result<u64, SizeError> {
        match self {
            Size::Bytes(bytes) => Ok(bytes),
            Size::Percent(percent) => u64::try_from(u128::from(ram) * u128::from(percent) / 100)
                .ok()
                .filter(|&bytes| bytes <= MAX_BYTES)
                .ok_or_else(|| SizeError::TooLarge(self.to_string())),
        }
    }

    /// The size with its unit, for a message: `10K`, `1000 bytes`, `25%`. Nothing is rounded.
    #[must_use]
    pub fn with_unit(self) -> String {
        match self {
            Size::Bytes(bytes) if bytes.is_multiple_of(1024) => {
                let units = ["K", "M", "G", "T"].into_iter().enumerate().rev();
                let mut wholes = units.map(|(i, unit)| (1 << (10 * (i + 1)), unit));
                let whole = wholes.find(|(of, _)| bytes.is_multiple_of(*of));
                whole.map_or_else(
                    || self.to_string(),
                    |(of, unit)| format!("{}{unit}", bytes / of),
                )
            }
            Size::Bytes(bytes) => format!("{bytes} bytes"),
            Size::Percent(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes}"),
            Size::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        size.to_string()
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let owned = || text.to_owned();
        let digits_end = text
            .char_indices()
            .find(|&(i, c)| !(c.is_ascii_digit() || i == 0 && (c == '-' || c == '+')))
            .map_or(text.len(), |(i, _)| i);
        let (number, unit) = text.split_at(digits_end);
        let unit = unit.trim();
        let number = match whole_number(number) {
            Whole::Number(number) => Some(number),
            Whole::Huge => None,
            Whole::Negative => return Err(SizeError::Negative(owned())),
            Whole::Not => return Err(SizeError::NotANumber(owned())),
        };
        let zero = || {
            if number == Some(0) {
                Err(SizeError::Zero(owned()))
            } else {
                Ok(())
            }
        };
        if unit == "%" {
            zero()?;
            return number
                .filter(|&n| n <= MAX_PERCENT)
                .and_then(|n| u32::try_from(n).ok())
                .map(Size::Percent)
                .ok_or_else(|| SizeError::TooManyPercent(owned()));
        }
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(SizeError::NotANumber(owned())),
        };
        zero()?;
        number
            .and_then(|n| n.checked_mul(1 << shift))
            .filter(|&bytes| bytes <= MAX_BYTES)
            .map(Size::Bytes)
            .ok_or_else(|| SizeError::TooLarge(owned()))
    }
}

/// Parses a number of kilobytes (1024 bytes), as `rzscontrol` takes them, into bytes.
///
/// # Errors
/// Zero, negative, not a whole number, or above 2^44 bytes.
pub fn parse_kilobytes(text: &str) -> Result<u64, SizeError> {
    let owned = || text.to_owned();
    match whole_number(text) {
        Whole::Number(0) => Err(SizeError::ZeroKilobytes(owned())),
        Whole::Number(kilobytes) if kilobytes <= MAX_BYTES / 1024 => Ok(kilobytes * 1024),
        Whole::Number(_) | Whole::Huge => Err(SizeError::TooManyKilobytes(owned())),
        Whole::Negative => Err(SizeError::NegativeKilobytes(owned())),
        Whole::Not => Err(SizeError::NotKilobytes(owned())),
    }
}

/// What a piece of text is, as a whole number.
enum Whole {
    Number(u64),
    /// Digits only, but more than 64 bits can hold.
    Huge,
    Negative,
    Not,
}

fn whole_number(text: &str) -> Whole {
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('-') {
        return if all_digits(rest) {
            Whole::Negative
        } else {
            Whole::Not
        };
    }
    if !all_digits(text) {
        return Whole::Not;
    }
    text.parse().map_or(Whole::Huge, Whole::Number)
}

/// Shows a number of bytes with at most one decimal and a unit: `512M`, `1.5G`, `0B`.
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 1023.95 and more would be shown as 1024.0 of the smaller unit.
    while value >= 1023.95 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let rounded = (value * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 {
        format!("{rounded:.0}{}", UNITS[unit])
    } else {
        format!("{rounded:.1}{}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Size, SizeError> {
        text.parse()
    }

    #[test]
    fn sizes_with_and_without_units() {
        assert_eq!(parse("4096"), Ok(Size::Bytes(4096)));
        assert_eq!(parse("512M"), Ok(Size::Bytes(512 << 20)));
        assert_eq!(parse("512 MiB"), Ok(Size::Bytes(512 << 20)));
        assert_eq!(parse("1g"), Ok(Size::Bytes(1 << 30)));
        assert_eq!(parse("16T"), Ok(Size::Bytes(MAX_BYTES)));
        assert_eq!(parse("25%"), Ok(Size::Percent(25)));
    }

    #[test]
    fn bad_sizes_say_what_is_wrong() {
        assert_eq!(parse("0"), Err(SizeError::Zero("0".into())));
        assert_eq!(parse("0%"), Err(SizeError::Zero("0%".into())));
        assert_eq!(parse("-5M"), Err(SizeError::Negative("-5M".into())));
        for text in [
            "", "M", "five", "1.5G", "1X", "+1", "+64M", "+5%", "--1", "0x10", "1e3", "１",
        ] {
            assert_eq!(
                parse(text),
                Err(SizeError::NotANumber(text.into())),
                "{text:?}"
            );
        }
        for text in [
            "17T",
            "17592186044417",
            "99999999999999999999999",
            "18446744073709551615K",
        ] {
            assert_eq!(
                parse(text),
                Err(SizeError::TooLarge(text.into())),
                "{text:?}"
            );
        }
        assert_eq!(
            parse("1001%"),
            Err(SizeError::TooManyPercent("1001%".into()))
        );
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        for zero in ["0", "0K", "0%"] {
            assert_eq!(zero.parse(), Ok(Limit::None), "{zero}");
        }
        let limit: Limit = "25%".parse().unwrap();
        assert_eq!(limit, Limit::Size(Size::Percent(25)));
        let bytes = [limit, Limit::None].map(|limit| limit.exactly(1 << 30));
        assert_eq!(bytes, [Ok(256 << 20), Ok(0)]);
        for bad in ["-1", "+0", "x"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_are_of_ram_and_whole_pages() {
        assert_eq!(Size::Percent(25).resolve(1 << 30), Ok(256 << 20));
        assert_eq!(Size::Percent(1).resolve(4096), Ok(4096));
        assert_eq!(Size::Bytes(5000).resolve(0), Ok(4096));
        assert_eq!(
            Size::Percent(1000).resolve(1 << 44),
            Err(SizeError::TooLarge("1000%".into()))
        );
    }

    #[test]
    fn messages_name_a_size_as_it_was_given() {
        for (text, shown) in [
            ("10K", "10K"),
            ("1024", "1K"),
            ("1000", "1000 bytes"),
            ("1536M", "1536M"),
            ("2048M", "2G"),
            ("16T", "16T"),
            ("25%", "25%"),
        ] {
            assert_eq!(parse(text).unwrap().with_unit(), shown, "{text}");
        }
        assert_eq!(parse("10K").unwrap().exactly(0), Ok(10_240));
    }

    #[test]
    fn kilobytes() {
        assert_eq!(parse_kilobytes("4"), Ok(4096));
        assert_eq!(parse_kilobytes("17179869184"), Ok(MAX_BYTES));
        assert_eq!(
            parse_kilobytes("17179869185"),
            Err(SizeError::TooManyKilobytes("17179869185".into()))
        );
        assert_eq!(
            parse_kilobytes("0"),
            Err(SizeError::ZeroKilobytes("0".into()))
        );
        assert_eq!(
            parse_kilobytes("-1"),
            Err(SizeError::NegativeKilobytes("-1".into()))
        );
        assert_eq!(
            parse_kilobytes("4k"),
            Err(SizeError::NotKilobytes("4k".into()))
        );
        assert_eq!(
            parse_kilobytes(""),
            Err(SizeError::NotKilobytes(String::new()))
        );
    }

    #[test]
    fn human_sizes() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1024), "1K");
        assert_eq!(human(1536 << 20), "1.5G");
        assert_eq!(human((1 << 30) - 1), "1G");
        assert_eq!(human(u64::MAX), "16777216T");
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer_within_the_limits(text in ".{0,24}") {
            if let Ok(Size::Bytes(bytes)) = text.parse::<Size>() {
                prop_assert!((1..=MAX_BYTES).contains(&bytes));
            }
            if let Ok(bytes) = parse_kilobytes(&text) {
                prop_assert!((1..=MAX_BYTES).contains(&bytes));
            }
        }

        #[test]
        fn what_was_written_is_read(number in 1u64..1 << 50, unit in 0usize..5) {
            let text = format!("{number}{}", ["", "K", "M", "G", "T"][unit]);
            let bytes = u128::from(number) << (10 * unit);
            match text.parse::<Size>() {
                Ok(size) => prop_assert_eq!(size, Size::Bytes(bytes as u64)),
                Err(error) => {
                    prop_assert!(bytes > u128::from(MAX_BYTES));
                    prop_assert_eq!(error, SizeError::TooLarge(text));
                }
            }
        }

        #[test]
        fn negative_numbers_are_called_negative(number in 1u64..) {
            prop_assert_eq!(
                format!("-{number}").parse::<Size>(),
                Err(SizeError::Negative(format!("-{number}")))
            );
        }
    }
}
