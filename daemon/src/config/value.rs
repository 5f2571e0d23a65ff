//! Values of keys: how they are read, and what is wrong with those that a key does not take.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use compcache_engine::CodecSpec;
use toml::de::{DeInteger, DeValue};

use crate::integer::Numbers;
use crate::size::parse_kilobytes;

/// What a value is that a key does not take.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?} is a string"),
        DeValue::Integer(number) => format!("{number} is an integer"),
        DeValue::Float(number) => format!("{number} is not a whole number"),
        DeValue::Boolean(value) => format!("{value} is a boolean"),
        DeValue::Datetime(time) => format!("{time} is a date or time"),
        DeValue::Array(_) => "the value is an array".to_owned(),
        DeValue::Table(_) => "the value is a table".to_owned(),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    let wrong = || format!("{}: give true or false", found(value));
    value.as_bool().ok_or_else(wrong)
}

/// One of these numbers.
pub(super) fn whole<T: TryFrom<i64>>(
    numbers: Numbers,
) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let number = value.as_integer().map(decimal);
        let read = numbers.parse(number.as_deref().unwrap_or_default());
        read.map_err(|e| match number {
            Some(number) => format!("{number} is out of range: {e}"),
            None => format!("{}: {e}", found(value)),
        })
    }
}

/// A size in kB, in bytes.
pub(super) fn kilobytes(value: &DeValue<'_>) -> Result<u64, String> {
    match value.as_integer() {
        Some(number) => parse_kilobytes(&decimal(number)).map_err(|e| e.to_string()),
        None => Err(format!(
            "{}: give a whole number of kilobytes, for example 1048576 for 1 GiB",
            found(value)
        )),
    }
}

/// As [`kilobytes`], but nothing if it is 0.
pub(super) fn kilobytes_or_none(value: &DeValue<'_>) -> Result<Option<u64>, String> {
    match value.as_integer().map(decimal).as_deref() {
        Some("0") => Ok(None),
        _ => kilobytes(value).map(Some),
    }
}

/// A string as it is.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, String> {
    text(value, |text| Ok::<_, String>(text.to_owned()))
}

/// A string that is parsed.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, String> {
    text(value, str::parse)
}

/// A codec, `NAME` or `NAME:LEVEL`.
pub(super) fn codec(value: &DeValue<'_>) -> Result<String, String> {
    text(value, |text| {
        text.parse::<CodecSpec>().map(|_| text.to_owned())
    })
}

/// A path that does not depend on where the daemon runs.
pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    text(value, |text| {
        let path = PathBuf::from(text);
        if path.is_absolute() {
            return Ok(path);
        }
        Err(format!("{text:?} is not an absolute path: begin it with /"))
    })
}

/// A string that `read` reads. What is no string is said to be none, and what `read` says of it too.
pub(super) fn text<T, E: Display>(
    value: &DeValue<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, String> {
    let bare = match value {
        DeValue::String(text) => return read(text).map_err(|e| e.to_string()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => {
            return Err(format!("{}: give a string in double quotes", found(value)));
        }
    };
    let found = found(value);
    Err(match read(&bare) {
        Ok(_) => format!("{found}: give a string in double quotes, as in \"{bare}\""),
        Err(e) => format!("{found}: give a string in double quotes; {e}"),
    })
}

/// An integer of a file in decimal digits; as it stands there if it is out of every range.
fn decimal(number: &DeInteger<'_>) -> String {
    let value = i128::from_str_radix(number.as_str(), number.radix());
    value.map_or_else(|_| number.to_string(), |value| value.to_string())
}
