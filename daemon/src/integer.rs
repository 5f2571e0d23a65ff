//! Whole numbers on the command line.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A parser for the whole numbers that an option accepts. `wanted` is what its error asks for,
/// for example "seconds from 1 to 86400"; the value and the option are named by clap.
///
/// `accepted` may be wider than that: other numbers then go to the daemon, which refuses them.
pub fn integer<T>(
    accepted: RangeInclusive<T>,
    wanted: impl Display + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|n| accepted.contains(n));
        number.ok_or_else(|| format!("give {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn errors_say_what_to_give() {
        let parse = integer(0..=100_u32, "a whole number from 0 to 100");
        assert_eq!((parse("0"), parse("100")), (Ok(0), Ok(100)));
        for wrong in ["", "x", "-1", "1.5", "101", "99999999999999999999"] {
            assert_eq!(
                parse(wrong),
                Err("give a whole number from 0 to 100".to_owned()),
                "{wrong}"
            );
        }
    }
}
