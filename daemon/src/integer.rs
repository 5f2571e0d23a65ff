//! Whole numbers that an option or a key takes.

use std::fmt;
use std::ops::RangeInclusive;

/// The whole numbers that an option of the command line, one behind `-o` and a key of the
/// configuration take alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    least: i64,
    most: i64,
    unit: Option<&'static str>,
}

/// A text that is none of these numbers: says what to give instead. The text and the option are named
/// by whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberError(Numbers);

impl std::error::Error for NumberError {}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.0;
        match numbers.unit {
            Some(unit) => write!(f, "give a whole number of {unit}, from {numbers}"),
            None => write!(f, "give a whole number from {numbers}"),
        }
    }
}

impl Numbers {
    /// Those from `least` to `most`.
    #[must_use]
    pub const fn new(least: i64, most: i64) -> Numbers {
        Numbers {
            least,
            most,
            unit: None,
        }
    }

    /// Those of `range`, which count `unit`, for example "seconds".
    #[must_use]
    pub const fn of(range: &RangeInclusive<u32>, unit: &'static str) -> Numbers {
        Numbers {
            least: *range.start() as i64,
            most: *range.end() as i64,
            unit: Some(unit),
        }
    }

    /// Whether a number is one of them.
    pub(crate) fn contains(self, number: impl Into<i64>) -> bool {
        (self.least..=self.most).contains(&number.into())
    }

    /// Reads one of them.
    ///
    /// # Errors
    /// [`NumberError`].
    pub fn parse<T: TryFrom<i64>>(self, text: &str) -> Result<T, NumberError> {
        // Without a plus, as sizes.
        let number = match text.starts_with('+') {
            true => None,
            false => text.parse().ok(),
        };
        let number = number.filter(|number| self.contains(*number));
        number
            .and_then(|number: i64| T::try_from(number).ok())
            .ok_or(NumberError(self))
    }

    /// [`Numbers::parse`] for an option of clap.
    pub fn parser<T>(
        self,
    ) -> impl Fn(&str) -> Result<T, NumberError> + Clone + Send + Sync + 'static
    where
        T: TryFrom<i64> + Clone + Send + Sync + 'static,
    {
        move |text| self.parse(text)
    }
}

/// The range, as in "1 to 86400".
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_give() {
        let numbers = Numbers::of(&(1..=100), "per cent");
        assert_eq!(numbers.to_string(), "1 to 100");
        assert_eq!((numbers.parse("1"), numbers.parse("100")), (Ok(1), Ok(100)));
        for wrong in [
            "",
            "x",
            "1.5",
            "0",
            "-1",
            "+1",
            "101",
            "99999999999999999999",
        ] {
            assert_eq!(
                numbers.parse::<u32>(wrong).unwrap_err().to_string(),
                "give a whole number of per cent, from 1 to 100",
                "{wrong}"
            );
        }
        let error = Numbers::new(-5, 5).parse::<i16>("6").unwrap_err();
        assert_eq!(error.to_string(), "give a whole number from -5 to 5");
    }
}
